"""An outbox in trouble: answers that are lost, services that refuse the account, processes that are killed."""

import asyncio

import pytest

from attachsync.clock import Clock
from attachsync.retry import DAY
from attachsync.sandbox import Fault
from tests.outboxes import UPLOAD, Hurried, Leaping, Slow, rig, until

# --- unknown outcomes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=UPLOAD, kind="lost", times=1),
        Fault(path=UPLOAD, kind="reset", times=1),
        Fault(path=UPLOAD, kind="status", status=503, times=1),
        Fault(path=UPLOAD, kind="html", times=1),
        Fault(path=UPLOAD, kind="json", value={"attachment": {}}, times=1),
        Fault(path=UPLOAD, kind="json", value=[], times=1),
        Fault(path=UPLOAD, kind="truncate", after=5, times=1),
    ],
    ids=lambda fault: fault.kind,
)
async def test_an_answer_that_says_nothing_is_tried_again(tmp_path, fault):
    """An unknown outcome: sent again in the same pass, and the receipt admits a possible orphan."""
    async with rig(tmp_path) as one:
        one.box.faults.add(fault)
        one.drop()
        outcome = await one.flush()
        assert outcome.complete
        said = one.document("sent/report.txt")
        assert (said["possible_orphan"], said["attempts"]) == (True, 2)


async def test_on_unknown_hold_holds(tmp_path):
    """`hold`: the file stays where it is, no second request is made, until a person lets it go on."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="lost", times=1))
        one.drop()
        outcome = await one.flush(on_unknown="hold")
        assert (outcome.held, outcome.complete) == (1, False)
        assert one.tree() == ["report.txt"]
        assert one.said("send_held")
        assert (await one.flush(on_unknown="hold")).held == 1
        assert one.box.count("POST", UPLOAD) == 1
        assert one.index.uploads.release(str(one.root), "report.txt", one.clock.now())
        assert (await one.flush(on_unknown="hold")).sent == 1
        assert one.document("sent/report.txt")["possible_orphan"] is True


async def test_five_strikes_in_a_day_and_it_is_held(tmp_path):
    """A file whose outcome is unknown again and again is left to a person, not sent for ever.

    A storm of an hour is not enough, nor is one try in a day; who lets it go on gives it another day.
    """
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=503))
        one.drop()
        for ahead, tries in ((0, 4), (3600, 8)):
            clock.ahead += ahead
            outcome = await one.flush()
            assert (outcome.later, outcome.held, outcome.complete) == ({"report.txt"}, 0, False)
            assert one.box.count("POST", UPLOAD) == tries
        clock.ahead += DAY
        assert (await one.flush()).held == 1
        assert (one.states(), one.box.count("POST", UPLOAD)) == (["held"], 9)
        assert one.index.uploads.release(str(one.root), "report.txt", clock.now())
        assert [(await one.flush()).held for _ in range(3)] == [0, 0, 0]
        assert one.box.count("POST", UPLOAD) == 17
        one.box.faults.clear()
        clock.ahead += 3600
        assert (await one.flush()).sent == 1
        assert one.index.database.rows("SELECT * FROM doubt") == []


async def test_few_tries_in_many_days_hold_nothing(tmp_path):
    """It takes five of unknown outcome, however far apart they are."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=503, headers={"Retry-After": "3600"}))
        one.drop()
        for held in (0, 0, 0, 0, 1):
            assert (await one.flush()).held == held
            clock.ahead += DAY


async def test_a_held_file_that_is_replaced_is_a_new_file(tmp_path):
    """Other bytes under a held name are sent; the held row ends."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="lost", times=1))
        one.drop()
        await one.flush(on_unknown="hold")
        one.drop(data=b"other bytes")
        assert (await one.flush(on_unknown="hold")).sent == 1
        assert one.states() == ["dropped", "sent"]
        assert one.document("sent/report.txt")["possible_orphan"] is False


async def test_a_file_taken_away_while_it_waits_is_dropped(tmp_path):
    """A file removed after a failed attempt ends the row, and the log says that a copy may be upstream."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="lost"))
        path = one.drop()
        await one.flush()
        path.unlink()
        assert (await one.flush()).complete
        assert one.states() == ["dropped"]
        assert one.said("send_dropped")[0]["possible_orphan"] is True


# --- the whole outbox -----------------------------------------------------------------------------------------------


async def test_too_many_requests_pause_the_outbox(tmp_path):
    """429: nobody of the outbox asks before the time that the service gave; then all is sent, and nothing is failed."""
    clock = Leaping()
    async with rig(tmp_path, clock) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=429, headers={"Retry-After": "7"}, times=1))
        for number in range(3):
            one.drop(f"{number}.txt")
        began = clock.monotonic()
        outcome = await one.flush()
        assert (outcome.sent, outcome.complete) == (3, True)
        assert clock.monotonic() - began >= 7
        assert all(one.document(f"sent/{number}.txt")["possible_orphan"] is False for number in range(3))
        assert len(one.said("account_down")) == len(one.said("account_up")) == 1


async def test_a_long_wait_ends_a_single_pass(tmp_path):
    """429 with an hour to wait: the pass ends, says so, and the files stay."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=429, headers={"Retry-After": "3600"}))
        one.drop()
        outcome = await one.flush()
        assert (outcome.sent, outcome.failed, outcome.complete) == (0, 0, False)
        assert "429" in outcome.trouble
        assert one.tree() == ["report.txt"]


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refused_account_keeps_its_files(tmp_path, status):
    """401, 402, 403: the outbox waits for a person, one request is made, and no file is burnt."""
    async with rig(tmp_path) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="status", status=status))
        for number in range(10):
            one.drop(f"{number}.txt")
        outcome = await one.flush()
        assert (outcome.sent, outcome.failed, outcome.complete) == (0, 0, False)
        assert str(status) in outcome.trouble
        assert len(one.tree()) == 10
        assert one.box.count("POST", UPLOAD) <= 8
        assert len(one.said("account_down")) == 1
        one.box.faults.clear()
        assert (await one.flush()).sent == 10
        assert one.document("sent/0.txt")["possible_orphan"] is False


async def test_a_wrong_secret_is_read_again_once_it_is_right(tmp_path):
    """A wrong secret stops the outbox without a loop; the right one in the file is all that is needed."""
    async with rig(tmp_path) as one:
        secret = tmp_path / "secret"
        secret.write_text("wrong")
        one.drop()
        assert not (await one.flush()).complete
        assert one.box.count("POST", UPLOAD) == 1
        secret.write_text("s3cr3t")
        assert (await one.flush()).sent == 1


async def test_the_daemon_does_not_wait_once_the_secret_is_another(tmp_path):
    """Its pause would go on for long."""
    async with rig(tmp_path, Slow()) as one, asyncio.TaskGroup() as group:
        secret = tmp_path / "secret"
        secret.write_text("wrong")
        one.drop()
        outgoing = one.outgoing(settle=0)
        keeping = group.create_task(outgoing.keep())
        await until(lambda: one.said("account_down"))
        secret.write_text("s3cr3t")
        await until((one.root / "sent/report.txt").exists)
        assert one.box.count("POST", UPLOAD) == 2
        outgoing.finish()
        await keeping


async def test_a_service_that_cannot_be_reached_costs_nothing(tmp_path):
    """Connection refused: nothing was sent, so no orphan is possible; later the file goes."""
    async with rig(tmp_path) as one:
        home = one.http.url("/").port
        one.drop()
        base = one.account.base_url
        object.__setattr__(one.account, "base_url", base.replace(str(home), "1"))
        one.http.boundary.__init__(one.account.base_url)
        outcome = await one.flush()
        assert (outcome.failed, outcome.complete) == (0, False)
        assert "cannot connect" in outcome.trouble
        object.__setattr__(one.account, "base_url", base)
        one.http.boundary.__init__(base)
        assert (await one.flush()).sent == 1
        assert one.document("sent/report.txt")["possible_orphan"] is False


@pytest.mark.parametrize("on_unknown", ["retry", "hold"])
@pytest.mark.parametrize(("status", "unknown"), [(301, True), (302, True), (303, True), (307, False), (308, False)])
async def test_a_redirect_is_not_the_files_fault(tmp_path, status, unknown, on_unknown):
    """A captive portal answers every POST with a redirect: nothing goes to failed/, and the whole outbox waits.

    A service may answer so, too, once it has done what it was asked, but for 307 and 308: these ask for it elsewhere.
    """
    fault = Fault(path=UPLOAD, kind="redirect", location="https://portal.example/", status=status, carry_out=unknown)
    async with rig(tmp_path) as one:
        one.box.faults.add(fault)
        one.drop()
        outcome = await one.outgoing(on_unknown=on_unknown).flush()
        is_held = unknown and on_unknown == "hold"
        assert (outcome.failed, outcome.held, str(status) in outcome.trouble) == (0, is_held, True)
        assert one.tree() == ["report.txt"]
        assert one.box.count("POST", UPLOAD) == 1
        one.box.faults.clear()
        assert (await one.flush(on_unknown=on_unknown)).sent == (not is_held)
        if not is_held:
            assert one.document("sent/report.txt")["possible_orphan"] is unknown


async def test_a_silent_service_is_given_up(tmp_path):
    """A service that takes the upload and never answers: an unknown outcome, not a hanging outbox."""
    async with rig(tmp_path, Clock(), quiet=0.2) as one:
        one.box.faults.add(Fault(path=UPLOAD, kind="hang", times=1))
        one.drop()
        assert (await one.flush(settle=0.05)).sent == 1
        assert one.document("sent/report.txt")["possible_orphan"] is True


# --- the index ------------------------------------------------------------------------------------------------------

REFUSING = """CREATE TEMP TRIGGER refuse_{what} BEFORE {what} ON main.upload WHEN NEW.state = '{state}'
BEGIN SELECT RAISE(ABORT, 'no room'); END"""


@pytest.mark.parametrize("state", ["sending", "uploaded", "posting", "filing", "sent"])
async def test_a_step_that_the_index_refuses_ends_nothing(tmp_path, state):
    """It is said, and once the index is well all goes on; only of an answer that was not kept a copy may be left."""
    async with rig(tmp_path, Hurried()) as one, asyncio.TaskGroup() as group:
        box = one.box.sunshine
        conversation = box.add_conversation()
        for what in ("INSERT", "UPDATE"):
            one.index.database.run(REFUSING.format(what=what, state=state))
        outgoing = one.outgoing(conversation=conversation.id, send=True)
        keeping = group.create_task(outgoing.keep())
        one.drop()
        await until(lambda: one.said("outbox_trouble"))
        assert "no room" in one.said("outbox_trouble")[0]["error"]
        for what in ("INSERT", "UPDATE"):
            one.index.database.run(f"DROP TRIGGER refuse_{what}")
        await until(lambda: one.states()[-1:] == ["sent"])
        outgoing.finish()
        await keeping
        assert one.tree() == ["sent/report.txt", "sent/report.txt.toml"]
        said = one.document("sent/report.txt")
        assert said["possible_orphan"] is (state == "uploaded")
        assert len(box.uploads) == (said["attempts"] if state == "uploaded" else 1)
        assert len(conversation.messages) == 1
