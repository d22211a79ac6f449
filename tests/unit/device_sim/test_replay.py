"""A file of events becomes NDJSON posts that hold each event once, in order."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_sim.replay import read_lines, replay_posts

pytestmark = pytest.mark.unit
EVENTS = st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3), max_size=30)


@settings(max_examples=30, deadline=None)
@given(EVENTS, st.integers(1, 7), st.booleans())
def test_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[dict[str, int]],
    batch: int,
    as_array: bool,
) -> None:
    path: Path = tmp_path_factory.mktemp("replay") / "events.json"
    path.write_bytes(
        orjson.dumps(events) if as_array else b"\n\n".join(map(orjson.dumps, events)) + b"\n"
    )
    posts = list(replay_posts(read_lines(path), "environment", batch))
    lines = [line for post in posts for line in post.body.splitlines()]
    assert [orjson.loads(line) for line in lines] == events
    assert sum(post.events for post in posts) == len(events)
    assert all(post.events <= batch for post in posts)


def test_a_broken_line_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"a":1}\n{"a":\n')
    (post,) = replay_posts(read_lines(path), "mobile")
    assert post.events == 2
    assert post.path == "/v1/events?source=mobile"
