"""The verb about what is handed over with a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb


def _add_card(parser: argparse.ArgumentParser) -> None:
    text = "an evaluated run's folder, or champion, or NAME@champion (default: artifacts)"
    parser.add_argument("run_folder", nargs="?", metavar="RUN", help=text)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there instead of printing it")
    text = "the bill of materials instead, as CycloneDX 1.6 JSON: files, data and packages with their digests"
    parser.add_argument("--bom", action="store_true", help=text)


def _card(options: argparse.Namespace) -> None:
    from treadle.cards.bom import make_bom
    from treadle.cards.find import find_run, read_model_card
    from treadle.disk import write_text

    root = Path.cwd()
    folder = find_run(options.run_folder or "artifacts", root=root)
    text = f"{json.dumps(make_bom(folder, root=root), indent=2)}\n" if options.bom else read_model_card(folder)
    if options.output is None:
        print_lines(text.removesuffix("\n"))
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.output, text)
    print_lines(f"{'bill of materials' if options.bom else 'card'}  {options.output}")


VERBS = (Verb("card", "Print the model card of a run, or its bill of materials.", _add_card, _card),)
