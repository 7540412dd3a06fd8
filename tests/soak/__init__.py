"""A trading session at ten times the speed with a fault every 20 seconds, and who checks the books.

The exchange's *time* runs ten times as fast, from 09:15 to 15:30 in 37.5 minutes; the desk, its
feeds, its disk and its browser run in real time. So the thresholds fall into three kinds:

* ages and timeouts of the machine (a look every second, three looks to be sure, 5 s until a price
  is stale, the REST client's timeouts, loop lag, storage) are real seconds here as ever, for the
  machine is no faster than on any other day;
* what measures the outside world against the session is a tenth, because the nemesis deals a
  session's faults in a tenth of the time and none lasts longer than 10 s: silence (15 s -> 2 s),
  pings, handshake, backoff, contest, flap window and steadiness (10 min / 5 min -> 60 s / 30 s),
  an undelivered message (120 s -> 12 s), reading the books, looking for an order in doubt;
* what counts within real minutes meets ten times as many faults: a storm of messages is 200 in ten
  minutes instead of 20.

The error rate's five minutes, REST's limits of calls and the letters' pause of a second stay in
real time, so that a session's work meets a tenth of a session's room for it.

`uv run python -m tests.soak [--minutes 40] [--seed N]`; a short run is cut from the session's end,
so that each ends with the close.
"""
