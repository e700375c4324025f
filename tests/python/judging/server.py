"""A server on localhost that gives the next client whatever reply was laid out, so that SDKs read bytes from a real socket."""

import socket
import threading

REASONS = {200: "OK"}


class Server:
    """One reply at a time: `lay` it out, then let one client ask. Connections are kept, so that a reading costs no new one."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.reply = b""
        # The last request's body: what an SDK made of a call.
        self.asked = b""
        threading.Thread(target=self.accept, daemon=True).start()

    def lay(self, status, content_type, body):
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'X')}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.reply = head.encode() + body

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as reader:
            try:
                while reader.readline():
                    length = 0
                    while (line := reader.readline().strip()) != b"":
                        name, _, value = line.partition(b":")
                        if name.lower() == b"content-length":
                            length = int(value)
                    self.asked = reader.read(length)
                    connection.sendall(self.reply)
            except OSError:
                # The client went away; the next one has its own connection.
                return
