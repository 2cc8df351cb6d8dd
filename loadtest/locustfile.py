"""What Locust loads: the users, the options and the events.

    locust -f loadtest/locustfile.py                                        Locust's page on port 8089
    locust -f loadtest/locustfile.py --headless --seconds 60 --html run.html

The target is DATABASE_URL or the PG* variables, so that no password is in the list of processes.
"""

import sys
from pathlib import Path

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Locust runs from wherever it is called

from copier.errors import CopierError
from loadtest.session import LoadTest
from loadtest.shapes import SHAPES
from loadtest.users import Presence, Reader, Searcher, Sender

__all__ = ["Presence", "Reader", "Searcher", "Sender"]


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Add the load test's own options; the first three are also on the page."""
    parser.add_argument("--shape", choices=SHAPES, default="steady", help="the load over time")
    parser.add_argument("--rate", type=float, default=0.0, help="messages per second; 0: as in slo.toml")
    parser.add_argument("--seconds", type=int, default=60, help="how long, after the warm-up")
    hidden = {"include_in_web_ui": False}
    parser.add_argument("--slo", default="", help="file of targets (default: loadtest/slo.toml)", **hidden)
    parser.add_argument("--schema", default="public", help="schema of the target's tables", **hidden)
    parser.add_argument(
        "--prepared",
        choices=("auto", "on", "off"),
        default="auto",
        help="prepared statements; auto: not through a pooler. PgBouncer can from 1.22 with max_prepared_statements",
        **hidden,
    )
    parser.add_argument("--via", default="", help="what is between, for the report (default: found out)", **hidden)
    parser.add_argument("--out", default="loadtest.json", help="where the result goes", **hidden)


@events.init.add_listener
def begin(environment: Environment, **_: object) -> None:
    """Attach the load test to this Locust."""
    try:
        LoadTest(environment)
    except CopierError as error:
        sys.exit(f"error: {error}")
