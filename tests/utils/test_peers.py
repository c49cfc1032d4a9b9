"""Connections between processes: several `Peers` in one process, with real sockets."""

import socket
import time

import pytest

from autoencoders.utils import peers
from autoencoders.utils.peers import Address, Peers


class Rank(Peers):
    """A rank whose connections can be closed, as if its process were killed, or stop sending."""

    def __init__(self, rank, size, timeout=60.0, explain=lambda rank: None):
        super().__init__(rank, size, timeout, explain)
        self.sockets = []
        self.failures = []
        self.on_failure = self.failures.append

    def connect(self, address):
        plain, created = socket.create_connection, self.sockets

        def keep(*arguments, **keywords):
            created.append(plain(*arguments, **keywords))
            return created[-1]

        socket.create_connection = keep
        try:
            super().connect(address)
        finally:
            socket.create_connection = plain

    def die(self):
        for connection in self.sockets:
            connection.shutdown(socket.SHUT_WR)


@pytest.fixture
def ranks():
    """`ranks(count)`: connected ranks that have begun a run."""

    def build(count, timeout=60.0, explain=lambda rank: None):
        found = [Rank(rank, count, timeout, explain) for rank in range(count)]
        address = found[0].listen("127.0.0.1", 10)
        for rank in found[1:]:
            rank.connect(address)
        for rank in found:
            rank.begin()
        while len(found[0]._links) < count - 1:
            time.sleep(0.01)
        return found

    return build


def sentences(ranks):
    return [rank.wait_for_failure(5).sentence for rank in ranks]


def test_the_reason_of_a_rank_is_told_to_all_others(ranks):
    zero, one, two = ranks(3)
    assert one.report("has failed: Row 7 cannot be read.")
    assert sentences([zero, two]) == ["Rank 1 has failed: Row 7 cannot be read."] * 2
    assert (zero.failure.reporter, two.failure.reporter) == (1, 0)  # rank zero has passed it on
    one.die()  # the end of its connection is not a second failure
    time.sleep(0.1)
    assert [len(rank.failures) for rank in (zero, one, two)] == [1, 0, 1]


def test_the_end_of_a_connection_names_the_rank_and_the_reason_if_it_is_known(ranks):
    zero, one, two = ranks(3, explain=lambda rank: f"was killed by SIGKILL ({rank})")
    two.die()
    assert sentences([zero, one]) == ["Rank 2 was killed by SIGKILL (2)."] * 2
    zero, one = ranks(2)
    one.die()
    assert sentences([zero]) == ["Rank 1 has ended without a message."]


def test_a_silent_rank_is_noticed_after_the_timeout_and_a_busy_one_is_not(ranks):
    zero, one, two = ranks(3, timeout=0.8)
    time.sleep(2.0)  # both threads send signs of life
    assert zero.failure is None
    two._links[0]._lock.acquire()  # no message any more
    assert sentences([zero, one]) == ["Rank 2 has not answered for 0.8 s (peer_timeout)."] * 2


def test_the_end_of_a_finished_rank_is_no_failure(ranks):
    zero, one, two = ranks(3)
    one.finish()
    one.die()
    two.finish()
    two.report("has failed: later")  # nothing depends on it any more
    zero.finish()
    assert not zero.active
    assert zero.failures == []


def test_rank_zero_waits_for_the_others_and_for_their_failures(ranks):
    zero, one = ranks(2)
    one.report("has failed: after the last exchange")
    zero.finish()
    assert zero.failure.sentence == "Rank 1 has failed: after the last exchange."


def test_a_rank_for_which_all_others_have_waited_is_late(ranks, monkeypatch):
    monkeypatch.setattr(peers, "WAITING_SECONDS", 0.3)
    for late in range(3):
        group = ranks(3)
        for rank in group:
            if rank.rank != late:
                rank.report_waiting("is late")
        assert sentences(group) == [f"Rank {late} is late."] * 3


def test_a_rank_that_never_starts_and_a_strange_program(ranks):
    zero = Rank(0, 3)
    zero.begin()
    address = zero.listen("127.0.0.1", 1.0)
    one, stranger = Rank(1, 3), Rank(2, 3)
    stranger.connect(Address(address.host, address.port, "guess"))
    one.connect(address)
    assert sentences([zero]) == ["Rank 2 has not started within 1 s."]
