"""What a client asks of Redis, read while it passes."""

from customerflow_bench.recording import Commands

ASKED = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n"


def test_commands_are_read_however_their_bytes_arrive() -> None:
    expected = [[b"GET", b"a"], [b"SET", b"a", b"\r\n\r\n"], [b"PING"]]
    for size in range(1, len(ASKED) + 1):
        asking = Commands()
        pieces = [ASKED[start : start + size] for start in range(0, len(ASKED), size)]
        assert [command for piece in pieces for command in asking.fed(piece)] == expected
