"""A whole move on two servers, of tables unlike Django's own."""

from __future__ import annotations

from yard import Yard, contents


def test_a_move_goes_there_and_back_and_there_again(ground: Yard) -> None:
    started = ground.start()
    assert started.rows == 30 + 21 + 62 + 30 + 9
    with ground.monolith() as here, ground.service() as there:
        assert contents(there) == contents(here)
    verified = ground.verify()
    assert (verified.differing, verified.verified_rows) == (0, started.rows)
    assert ground.doctor() == []
    for verb in ("switch", "reverse", "switch"):
        switched = ground.switch(verb)
        assert switched.owner == ("service" if verb == "switch" else "monolith")
        assert ground.verify().differing == 0
        assert ground.doctor() == []
