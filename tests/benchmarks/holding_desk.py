"""The real desk with one more holder: what ticks cost can be told from what pages cost."""

import json
import sys
from pathlib import Path

import main
from settings import load_settings
from trading.model import Mode


def run(keys_file: Path) -> None:
    settings = load_settings(main.HERE / "settings.toml")
    main.prepare_process(settings)
    vigil = main.Vigil(settings)
    try:
        keys = json.loads(keys_file.read_text())
        vigil.subscriptions.hold("benchmark", keys, Mode.FULL)
        main.serve(vigil, settings)
    finally:
        vigil.stop()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
