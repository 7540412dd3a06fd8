"""The chats of the simulated bot: what stands in them, what was typed, and what the bot hears.

A stand-in of Telegram for one machine. The owner's private chat is known from the start; any other
chat is known once somebody spoke in it. It belongs to the exchange's loop; what was delivered and
what was called are appended to, and may be read from any thread.
"""

import asyncio
import io
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from PIL import Image, UnidentifiedImageError

from simulator.envelope import Json
from simulator.telegram_markup import BotError, Keys, Text, bad, plain

BOT: Final = 7_000_000_001
BOT_NAME: Final = "vigil_simulated_bot"
TOKEN: Final = f"{BOT}:SIMULATED-bot-of-this-machine-only-0"  # opens nothing but this stand-in
OWNER: Final = 1_001  # user id, and of the private chat with the bot
STRANGER: Final = 6_006
GROUP: Final = -100_200_300

KEPT: Final = 200  # messages of a chat
PICTURES: Final = 20  # of all chats; an older message keeps its caption only
PICTURE_BYTES: Final = 10 << 20
UPDATES: Final = 1_000  # that wait for the bot; Telegram itself forgets them after a day
TRUTH: Final = 100_000


class Delivered(NamedTuple):
    """A message that stood on the phone at `at`, in seconds of time.monotonic.

    `what` is the method; an edit has the number of the message that it changed. A message that was
    sent twice is here twice, with two numbers.
    """

    at: float
    moment: datetime
    what: str
    chat: int
    number: int
    text: str
    silent: bool = False


class Asked(NamedTuple):
    """One call of the Bot API and how it ended; status 0: left without an answer."""

    at: float
    method: str
    status: int


@dataclass(frozen=True, slots=True)
class Sender:
    id: int
    name: str
    is_bot: bool = False

    def row(self) -> dict[str, Json]:
        row: dict[str, Json] = {"id": self.id, "is_bot": self.is_bot, "first_name": self.name}
        return row | {"username": BOT_NAME} if self.is_bot else row


THE_BOT: Final = Sender(BOT, "Vigil (simulated)", is_bot=True)
PEOPLE: Final = {OWNER: Sender(OWNER, "Owner"), STRANGER: Sender(STRANGER, "Stranger")}


@dataclass(slots=True)
class Picture:
    id: str
    data: bytes
    width: int
    height: int
    kind: str  # "png" or "jpeg"


@dataclass(slots=True)
class Message:
    number: int
    chat: int
    sender: Sender
    at: datetime
    text: Text
    keys: Keys = ()
    picture: Picture | None = None
    silent: bool = False
    edited: datetime | None = None
    forwarded: bool = False
    notice: str = ""  # what the bot answered to the last press of a button of it
    changed: int = 0  # the chat's version that it was last touched in
    offered: set[str] = field(default_factory=set)  # the data of every button that it ever had

    def offer(self, keys: Keys) -> None:
        self.keys = keys
        self.offered |= {key.data for row in keys for key in row if key.data}


@dataclass(slots=True)
class Chat:
    id: int
    messages: dict[int, Message] = field(default_factory=dict)
    keyboard: tuple[tuple[str, ...], ...] = ()


class Chats:
    """The bot's account. Raises BotError for what Telegram would refuse."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self.life = secrets.token_hex(4)  # another one after a restart: numbers begin anew
        self.version = 0
        self.token = TOKEN
        self.chats: dict[int, Chat] = {OWNER: Chat(OWNER)}
        self.menu: dict[str, tuple[tuple[str, str], ...]] = {}  # commands, by their scope
        self.delivered: deque[Delivered] = deque(maxlen=TRUTH)
        self.asked: deque[Asked] = deque(maxlen=TRUTH)
        self._pictures: deque[Message] = deque()
        self._updates: deque[tuple[int, dict[str, Json]]] = deque(maxlen=UPDATES)
        self._presses: dict[str, Message] = {}
        self._last_message = 0
        self._last_update = 100_000_000
        self._waiting: list[asyncio.Future[None]] = []

    # --- news

    def changed(self) -> int:
        """Wake whoever waits for news; return the new version."""
        self.version += 1
        self.wake()
        return self.version

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def news(self) -> "asyncio.Future[None]":
        """Return what is done at the next change; cancel it if you leave before."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting = [w for w in self._waiting if not w.done()]
        self._waiting.append(waiter)
        return waiter

    # --- what the bot does

    def chat(self, chat: int) -> Chat:
        try:
            return self.chats[chat]
        except KeyError:
            raise bad("chat not found") from None

    def send(
        self, chat: int, text: Text, keys: Keys, *, silent: bool, picture: Picture | None = None
    ) -> Message:
        message = self._add(self.chat(chat), THE_BOT, text)
        message.offer(keys)
        message.silent, message.picture = silent, picture
        if picture is not None:
            self._keep_picture(message)
        self._deliver("sendPhoto" if picture else "sendMessage", message)
        return message

    def edit(
        self, chat: int, number: int, *, keys: Keys, text: Text | None, method: str
    ) -> Message:
        """Change the text and the buttons of a message; no text: the buttons only."""
        message = self._to_edit(chat, number)
        if method == "editMessageText" and message.picture is not None:
            raise bad("there is no text in the message to edit")
        meant = message.text if text is None else text
        same = (meant.plain, meant.entities) == (message.text.plain, message.text.entities)
        if same and keys == message.keys:
            raise bad(
                "message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        message.text, message.edited = meant, self._now()
        message.offer(keys)
        message.changed = self.changed()
        self._deliver(method, message)
        return message

    def _to_edit(self, chat: int, number: int) -> Message:
        message = self.chat(chat).messages.get(number)
        if message is None:
            raise bad("message to edit not found")
        if message.sender is not THE_BOT:
            raise bad("message can't be edited")
        return message

    def answer_press(self, query: str, words: str) -> None:
        message = self._presses.pop(query, None)
        if message is None:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        message.notice = words
        message.changed = self.changed()

    def show_keyboard(self, chat: int, keyboard: tuple[tuple[str, ...], ...]) -> None:
        self.chat(chat).keyboard = keyboard
        self.changed()

    def updates(self, offset: int, most: int) -> list[tuple[int, dict[str, Json]]]:
        """Forget what is confirmed by `offset` (below 0: all but the last so many); return more."""
        if offset < 0:
            offset = self._updates[offset][0] if len(self._updates) >= -offset else 0
        while self._updates and self._updates[0][0] < offset:
            self._updates.popleft()
        return list(self._updates)[:most]

    def forget_updates(self) -> None:
        self._updates.clear()

    # --- what people do

    def say(
        self,
        text: str,
        *,
        sender: int = OWNER,
        chat: int | None = None,
        age: float = 0.0,
        forwarded: bool = False,
    ) -> Message:
        """Type a text; in the private chat with the bot, unless another one is named."""
        person = PEOPLE.get(sender) or Sender(sender, f"User {sender}")
        number = sender if chat is None else chat
        message = self._add(self.chats.setdefault(number, Chat(number)), person, plain(text), age)
        message.forwarded = forwarded
        self._tell("message", self.message_row(message))
        return message

    def press(self, number: int, data: str, *, sender: int = OWNER) -> None:
        """Press a button; also one that was taken away, for a phone may show it a moment longer.

        Raises BotError if the message never had it.
        """
        message = next((c.messages[number] for c in self.chats.values() if number in c.messages),
                       None)  # fmt: skip
        if message is None or data not in message.offered:
            raise bad(f"message {number} has no button {data!r}")
        person = PEOPLE.get(sender) or Sender(sender, f"User {sender}")
        query = secrets.token_hex(8)
        self._presses[query] = message
        while len(self._presses) > KEPT:
            del self._presses[next(iter(self._presses))]
        self._tell(
            "callback_query",
            {
                "id": query,
                "from": person.row(),
                "chat_instance": str(message.chat),
                "data": data,
                "message": self.message_row(message),
            },
        )

    # --- as Telegram writes it

    def message_row(self, message: Message) -> dict[str, Json]:
        row: dict[str, Json] = {
            "message_id": message.number,
            "from": message.sender.row(),
            "chat": self.chat_row(message.chat),
            "date": int(message.at.timestamp()),
        }
        if message.edited is not None:
            row["edit_date"] = int(message.edited.timestamp())
        if message.forwarded:
            origin = {"type": "user", "date": row["date"], "sender_user": PEOPLE[STRANGER].row()}
            row["forward_origin"] = origin
        if message.keys:
            keys = [[key.row() for key in line] for line in message.keys]
            row["reply_markup"] = {"inline_keyboard": keys}
        return row | _content(message)

    def chat_row(self, chat: int) -> dict[str, Json]:
        if chat < 0:
            return {"id": chat, "type": "supergroup", "title": "A group"}
        person = PEOPLE.get(chat) or Sender(chat, f"User {chat}")
        return {"id": chat, "type": "private", "first_name": person.name}

    # --- inside

    def _add(self, chat: Chat, sender: Sender, text: Text, age: float = 0.0) -> Message:
        self._last_message += 1
        at = datetime.fromtimestamp(self._now().timestamp() - age, UTC)
        message = Message(self._last_message, chat.id, sender, at, text)
        chat.messages[message.number] = message
        if len(chat.messages) > KEPT:
            del chat.messages[next(iter(chat.messages))]
        message.changed = self.changed()
        return message

    def _keep_picture(self, message: Message) -> None:
        self._pictures.append(message)
        if len(self._pictures) > PICTURES:
            older = self._pictures.popleft()
            if older.picture is not None:
                older.picture.data = b""
                older.changed = self.changed()

    def picture(self, id: str) -> Picture | None:
        found = (m.picture for m in self._pictures if m.picture and m.picture.id == id)
        return next(found, None)

    def _deliver(self, what: str, message: Message) -> None:
        self.delivered.append(
            Delivered(
                time.monotonic(), self._now(), what, message.chat, message.number,
                message.text.plain, message.silent,
            )
        )  # fmt: skip

    def _tell(self, kind: str, row: dict[str, Json]) -> None:
        self._last_update += 1
        self._updates.append((self._last_update, {"update_id": self._last_update, kind: row}))
        self.changed()

    def touched(self, chat: int, since: int) -> Iterator[Message]:
        """Yield the messages of a chat that were changed after this version."""
        known = self.chats.get(chat)
        return (m for m in known.messages.values() if m.changed > since) if known else iter(())


def _content(message: Message) -> dict[str, Json]:
    entities: list[Json] = [entity.row() for entity in message.text.entities]
    if message.text.plain.startswith("/"):
        length = len(message.text.plain.split()[0])
        entities.append({"type": "bot_command", "offset": 0, "length": length})
    picture = message.picture
    if picture is None:
        row: dict[str, Json] = {"text": message.text.plain}
        return row | {"entities": entities} if entities else row
    row = {
        "photo": [
            {
                "file_id": picture.id,
                "file_unique_id": picture.id,
                "width": picture.width,
                "height": picture.height,
            }
        ],
        "caption": message.text.plain,
    }
    return row | {"caption_entities": entities} if entities else row


def read_picture(data: bytes) -> Picture:
    """Read the head of an uploaded picture; raises BotError 400."""
    if not data:
        raise bad("there is no photo in the request")
    if len(data) > PICTURE_BYTES:
        raise BotError(413, "Request Entity Too Large")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            (width, height), kind = image.size, (image.format or "").lower()
    except (UnidentifiedImageError, OSError):
        raise bad("IMAGE_PROCESS_FAILED") from None
    if width + height > 10_000:
        raise bad("PHOTO_INVALID_DIMENSIONS")
    return Picture(secrets.token_hex(8), data, width, height, kind)
