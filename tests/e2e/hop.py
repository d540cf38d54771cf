"""A TCP hop: forwards bytes both ways, and on request records them, notes who connects, or cuts connections.

It stands where a test must see the wire: between client and proxy, or between proxy and broker. With
PENSTOCK_RECORDINGS=FOLDER in the environment all recordings are written there when their connection ends, from which
tests/fuzz/make_seeds makes inputs of the fuzz drivers.
"""

import glob
import itertools
import os
import pathlib
import socket
import struct
import threading

ESTABLISHED = "01"
RECORDINGS = os.environ.get("PENSTOCK_RECORDINGS")
RECORDED_MAX = 1 << 20  # bytes of each direction that are written
_numbers = itertools.count()


def process_of(port, to):
    """The process that owns the outgoing loopback connection from this port to that one, or None. (The kernel gives a port
    to several connections, if they go to several places.)"""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):  # Java's sockets stand in the second, with mapped addresses
        with open(table) as rows:
            for row in list(rows)[1:]:
                fields = row.split()
                ends = tuple(int(end.split(":")[1], 16) for end in fields[1:3])
                if ends == (port, to) and fields[3] == ESTABLISHED:
                    inodes.add(f"socket:[{fields[9]}]")
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(path) in inodes:
                return int(path.split("/")[2])
        except OSError:
            continue
    return None


class Link:
    """One forwarded connection. `up` is what the client sent, `down` what came back (if recorded)."""

    def __init__(self, client, server, recorded, ports):
        self.client, self.server = client, server
        self.client_id = None     # of the first request, once it has come
        self._ports, self._owner = ports, None  # of its two ends
        self.up = bytearray() if recorded else None
        self.down = bytearray() if recorded else None
        self.frozen = threading.Event()
        self.left_first = None    # "client" or "server", once one of them has ended the connection
        self.over = False         # both have

    @property
    def owner(self):
        """pid of the connecting process, which must be asked for while the connection stands, and takes a while. The
        kernel's table is read in pieces while others connect, so it may miss one: then it is looked for again."""
        if self._owner is None and not self.over:
            self._owner = process_of(*self._ports)
        return self._owner

    def leaves(self, who):
        if self.left_first is None:
            self.left_first = "client" if who is self.client else "server"

    def close(self):
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def write(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{next(_numbers):05}"
        (folder / f"{name}.up").write_bytes(self.up[:RECORDED_MAX])
        (folder / f"{name}.down").write_bytes(self.down[:RECORDED_MAX])


class Hop:
    def __init__(self, listen, target, record=False, owners=True):
        """owners: whether to find out at once which process each connection is of."""
        self.target = target
        self.record = record
        self.owners = owners
        self.links = []
        self._chosen = lambda link: False
        self._lock = threading.Lock()
        self._address = listen
        self._server = None
        self.open()
        self.port = self._server.getsockname()[1]

    def open(self):
        self._server = socket.create_server(self._address, backlog=256)
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server):
        while True:
            try:
                client, peer = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, peer), daemon=True).start()

    def _serve(self, client, peer):
        try:
            server = socket.create_connection(self.target, timeout=60)
            server.settimeout(None)
        except OSError:
            client.close()
            return
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(client, server, self.record, (peer[1], client.getsockname()[1]))
        if self.owners:
            link.owner  # noqa: B018
        with self._lock:
            self.links.append(link)
        back = threading.Thread(target=self._pump, args=(link, server, client, False), daemon=True)
        back.start()
        self._pump(link, client, server, True)
        back.join()
        client.close()
        server.close()
        if RECORDINGS and link.up is not None:
            link.write(RECORDINGS)
        link.over = True

    def _name(self, link, data):
        """Reads the client id out of the first request and freezes the link at once if it is to be cut."""
        if link.client_id is not None or len(data) < 14:
            return
        (size,) = struct.unpack_from(">h", data, 12)
        link.client_id = data[14:14 + max(size, 0)].decode(errors="replace")
        with self._lock:
            if self._chosen(link):
                link.frozen.set()

    def _pump(self, link, source, sink, up):
        record = link.up if up else link.down
        leaver = source
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                if up:
                    self._name(link, data)
                if record is not None:
                    record += data
                if not link.frozen.is_set():
                    leaver = sink
                    sink.sendall(data)
                    leaver = source
        except OSError:
            pass
        link.leaves(leaver)
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def take(self, chosen):
        """Hands out the links that chosen(link) says yes to, and forgets them."""
        with self._lock:
            taken = [link for link in self.links if chosen(link)]
            self.links = [link for link in self.links if link not in taken]
        return taken

    def freeze(self, chosen):
        """Black hole: what chosen(link) says yes to, now or later, sends to nowhere, and nothing comes back."""
        with self._lock:
            self._chosen = chosen
            for link in self.links:
                if link.client_id is not None and chosen(link):
                    link.frozen.set()

    def thaw(self, chosen=None):
        """The network is back, of all or of what chosen(link) says: connections that lost bytes are reset, new ones pass
        (with `chosen`, as far as what freeze() was given lets them)."""
        with self._lock:
            if chosen is None:
                self._chosen = lambda link: False
            frozen = [link for link in self.links if link.frozen.is_set() and (chosen is None or chosen(link))]
            self.links = [link for link in self.links if link not in frozen]
        for link in frozen:
            link.close()

    def close(self):
        """From now on connections are refused; those that stand are closed."""
        try:
            self._server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._server.close()
        with self._lock:
            links = list(self.links)
        for link in links:
            link.close()
