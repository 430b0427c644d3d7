"""One request, once: what is known when it fails, and how long that may take."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from scripted_provider import SilentPeer, Step, WebPeer, free_port, make_certificate, seconds

from winback.channels import transport as module
from winback.channels.transport import LARGEST_ANSWER_BYTES, TimeOuts, Transport
from winback.errors import SendDeferred, SendUnknown

if TYPE_CHECKING:
    from pathlib import Path

TIME_OUTS = TimeOuts(connect=0.5, read=0.5, whole=1.0)
SECURE = pytest.mark.parametrize("is_secure", [True, False])


@pytest.fixture
def time_outs() -> TimeOuts:
    return TIME_OUTS


def post(transport: Transport, url: str, body: bytes = b"{}"):
    return transport.call("POST", f"{url}/x?a=1", headers={"Authorization": "Bearer key"}, body=body)


@SECURE
def test_an_answer_comes_whole(transport, certificate, is_secure: bool) -> None:
    step = Step(418, b"x" * 200_000, {"X-Odd": "yes", "Retry-After": "3"})
    with WebPeer([step], certificate if is_secure else None) as peer:
        answer = post(transport, peer.url, b"body")
        transport.close()
    assert (answer.status, answer.body) == (418, step.body)
    assert answer.headers.get("x-odd") == answer.headers["X-ODD"] == "yes"
    [request] = peer.requests
    assert (request.method, request.path, request.body) == ("POST", "/x?a=1", b"body")
    assert request.headers["authorization"] == "Bearer key"


@pytest.mark.parametrize("then", ["close", "hang", "cut", "drip"])
@SECURE
def test_after_the_first_byte_it_is_a_doubt(transport, certificate, then: str, is_secure: bool) -> None:
    with WebPeer([Step(202, b"x" * 300, then=then)], certificate if is_secure else None) as peer:

        def call() -> None:
            with pytest.raises(SendUnknown, match="may have been carried out"):
                post(transport, peer.url)

        assert seconds(call) < TIME_OUTS.whole + 1
        transport.close()
    assert len(peer.requests) == 1


@SECURE
def test_a_peer_that_never_reads_holds_nobody(transport, certificate, is_secure: bool) -> None:
    """The request does not fit into the buffers of the line."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                if is_secure:
                    connection = certificate.server_context().wrap_socket(connection, server_side=True)
                stop.wait(10)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        url = f"{'https' if is_secure else 'http'}://127.0.0.1:{listener.getsockname()[1]}"

        def call() -> None:
            with pytest.raises(SendUnknown):
                post(transport, url, b"x" * 30_000_000)

        assert seconds(call) < TIME_OUTS.whole + 1.5
        stop.set()
        thread.join()


def test_before_the_first_byte_nothing_was_sent(transport, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with WebPeer([Step(200)]) as plain, WebPeer([Step(200)], make_certificate(tmp_path / "other")) as stranger:
        nobody = f"https://127.0.0.1:{free_port()}"
        by_name = stranger.url.replace("127.0.0.1", "localhost")
        for url in (nobody, plain.url.replace("http", "https"), stranger.url, by_name, "https://nowhere.invalid"):
            with pytest.raises(SendDeferred, match="nothing was sent"):
                post(transport, url)
        assert not plain.requests
        assert not stranger.requests


def test_a_handshake_that_never_ends(transport) -> None:
    with SilentPeer() as peer:

        def call() -> None:
            with pytest.raises(SendDeferred):
                post(transport, f"https://127.0.0.1:{peer.port}")

        assert seconds(call) < TIME_OUTS.connect + 1


def test_a_certificate_for_another_name_is_none(certificate) -> None:
    """The certificate is for 127.0.0.1; nobody may be called by another name with it."""
    made = Transport(time_outs=TIME_OUTS, context=certificate.client_context())
    with WebPeer([Step(200)], certificate) as peer, pytest.raises(SendDeferred):
        post(made, peer.url.replace("127.0.0.1", "localhost"))
    assert not peer.requests
    made.close()


@pytest.mark.parametrize(("size", "is_whole"), [(LARGEST_ANSWER_BYTES, True), (LARGEST_ANSWER_BYTES + 1, False)])
def test_an_endless_answer_is_cut_off(transport, certificate, size: int, is_whole: bool) -> None:
    with WebPeer([Step(200, b"x" * size)], certificate) as peer:
        if is_whole:
            assert len(post(transport, peer.url).body) == size
        else:
            with pytest.raises(SendUnknown):
                post(transport, peer.url)
        transport.close()


def test_no_redirect_is_followed(transport, certificate) -> None:
    with WebPeer([Step(200)], certificate) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            with WebPeer([Step(status, headers={"Location": elsewhere.url})], certificate) as peer:
                assert post(transport, peer.url).status == status
                transport.close()
        assert not elsewhere.requests


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_answer_is_asked_for_twice(transport, certificate, method: str) -> None:
    for status in (413, 429, 500, 502, 503, 504):
        with WebPeer([Step(status, headers={"Retry-After": "0"})], certificate) as peer:
            assert transport.call(method, peer.url, headers={}).status == status
            transport.close()
            assert len(peer.requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_lost_answer_is_asked_for_again(transport, certificate, method: str) -> None:
    with WebPeer([Step(200, then="close")], certificate) as peer:
        with pytest.raises(SendUnknown):
            transport.call(method, peer.url, headers={})
        assert len(peer.requests) == 1


def test_a_line_the_peer_has_closed_is_not_used(transport, certificate) -> None:
    with WebPeer([Step(200, then="answer and close")], certificate) as peer:
        for _ in range(3):
            assert post(transport, peer.url).status == 200
            peer.threads[-1].join(5)
        assert peer.connections == 3


def test_a_line_idle_for_long_is_not_trusted(transport, certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebPeer([Step(200)], certificate) as peer:
        post(transport, peer.url)
        post(transport, peer.url)
        assert peer.connections == 1
        monkeypatch.setattr(module, "_LONGEST_IDLE_SECONDS", 0.0)
        post(transport, peer.url)
        assert peer.connections == 2
        transport.close()


def test_a_refusal_before_the_whole_request_was_read_is_an_answer(transport) -> None:
    """A peer that says 413 and closes while we are still writing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        assert post(transport, f"http://127.0.0.1:{listener.getsockname()[1]}", b"x" * 1_000_000).status == 413
        transport.close()
        thread.join()


def test_threads_share_a_transport(transport, certificate) -> None:
    with WebPeer(lambda request: Step(200, request.body), certificate) as peer:
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(post(transport, peer.url, str(n).encode()).body))
            for n in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transport.close()
    assert sorted(found) == sorted(str(n).encode() for n in range(24))


def test_what_fails_names_the_host_and_nothing_else(transport, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SendDeferred) as caught:
        transport.call("GET", f"https://127.0.0.1:{free_port()}/a?To=%2B33612345678", headers={"Authorization": "key"})
    assert "33612345678" not in f"{caught.value!r}{caught.value.__cause__!r}{caplog.text}"
    assert "127.0.0.1" in str(caught.value)


def test_no_address_of_a_request_is_logged(transport, certificate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with WebPeer([Step(200)], certificate) as peer:
        transport.call("GET", f"{peer.url}/a?To=%2B33612345678", headers={"Authorization": "key"})
        transport.close()
    assert "33612345678" not in caplog.text


def test_certificates_are_checked_by_default() -> None:
    context = Transport().context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_call_whose_time_was_over_before_its_first_byte_was_not_made(certificate) -> None:
    """Shaking hands took longer than the whole call may take."""
    time_outs = TimeOuts(connect=2.0, read=2.0, whole=0.2)
    made = Transport(time_outs=time_outs, context=certificate.client_context())
    with LatePeer([Step(200)], certificate) as peer:
        with pytest.raises(SendDeferred):
            post(made, peer.url)
        made.close()
    assert not peer.requests


class LatePeer(WebPeer):
    """Shakes hands after a while."""

    def _serve(self, connection: socket.socket) -> None:
        self.is_over.wait(0.5)
        super()._serve(connection)
