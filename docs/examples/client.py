#!/usr/bin/env python3
"""A whole simopen client in Python's standard library, written from docs/protocol.md alone.

Usage: client.py INVITATION PEER TEXT

Joins as a new device, logs in, sends PEER the note TEXT, connects to PEER through the relay,
sends TEXT to its service "default", and prints what comes back until that side ends.
"""
import base64, hashlib, os, secrets, socket, ssl, struct, sys, tempfile, urllib.parse
import xml.etree.ElementTree as XML

# --- a device key: ECDSA on P-256 (FIPS 186-5), which the standard library cannot make by itself

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BASE = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
CURVE = bytes.fromhex("06082a8648ce3d030107")  # prime256v1
EC_KEY = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")  # id-ecPublicKey on it


def add(one, other):
    if not (one and other):
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def multiply(number, point):
    total = None
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def der(tag, content):
    return bytes([tag]) + (b"\x81" if len(content) > 127 else b"") + bytes([len(content)]) + content


def pem(label, content):
    return f"-----BEGIN {label}-----\n{base64.encodebytes(content).decode()}-----END {label}-----\n"


def new_key():
    """A private key as PEM (RFC 5915), and its public half as a SubjectPublicKeyInfo (RFC 5480)."""
    private = secrets.randbelow(ORDER - 1) + 1
    x, y = multiply(private, BASE)
    bits = der(3, b"\0\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    inner = der(2, b"\1") + der(4, private.to_bytes(32, "big")) + der(0xA0, CURVE) + der(0xA1, bits)
    return pem("EC PRIVATE KEY", der(0x30, inner)), der(0x30, EC_KEY + bits)


# --- control links: four bytes of length, then a document

class Link:
    def __init__(self, stream):
        self.stream, self.next, self.notified = stream, 0, []

    def exactly(self, count):
        data = b""
        while len(data) < count:
            data += self.stream.recv(count - len(data)) or sys.exit("the other side closed the connection")
        return data

    def receive(self):
        return XML.fromstring(self.exactly(struct.unpack(">I", self.exactly(4))[0]))

    def ask(self, action, children=(), **attributes):
        """Sends a request and waits for its response; notifications are kept for later."""
        request = XML.Element("PBReq", Action=action, ID=str(self.next), **attributes)
        for name, text in children:
            XML.SubElement(request, name).text = text
        document = XML.tostring(request)
        self.stream.sendall(struct.pack(">I", len(document)) + document)
        while True:
            answer = self.receive()
            if answer.tag == "PBNotify":
                self.notified += list(answer)
            elif answer.get("ID") == str(self.next):
                break
        self.next += 1
        if answer.get("Error") != "0":
            sys.exit(f"{action}: {answer.get('Error')}")
        return answer

    def wait_for(self, name):
        while name not in [element.tag for element in self.notified]:
            self.notified += list(self.receive())


def token(text):
    """The 32 bytes behind 52 letters of base32."""
    return base64.b32decode(text.upper() + "====")


def tls(address, context, name):
    return context.wrap_socket(socket.create_connection(address, 10), server_hostname=name)


def authority_of(address, fingerprint, name):
    """The broker's own certificate authority, by the fingerprint that the invitation names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tls(address, context, name) as stream:
        chain = getattr(stream, "get_unverified_chain", None) or stream._sslobj.get_unverified_chain
        for certificate in chain():
            if not isinstance(certificate, bytes):  # an object before 3.13
                certificate = ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
            if hashlib.sha256(certificate).hexdigest() == fingerprint:
                return certificate
    sys.exit("whoever answers there is not the broker that the invitation names")


def trusting(authority, folder, certificate=None):
    """A TLS context that trusts this authority alone, and shows this certificate for the device key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    if certificate:
        path = os.path.join(folder, "certificate.pem")
        with open(path, "w") as file:
            file.write(pem("CERTIFICATE", base64.b64decode(certificate)))
        context.load_cert_chain(path, os.path.join(folder, "key.pem"))
    return context


# --- links between peers: two lengths, part A, part B

CHANNEL, CLOSE, BROKE = b"\x9esoc", 4, 8


def send_frame(stream, part_a, part_b=b""):
    stream.sendall(struct.pack(">II", len(part_a), len(part_b)) + part_a + part_b)


def exchange(link, text):
    """Opens a channel to the other side's service "default", and gives what comes back on it."""
    own, theirs, answer = 1, None, b""
    send_frame(link.stream, b'<PBPeerReq Action="Open" ID="0" Channel="1" Service="default"/>')
    while True:
        length_a, length_b = struct.unpack(">II", link.exactly(8))
        part_a, part_b = link.exactly(length_a), link.exactly(length_b)
        if part_a.startswith(CHANNEL):
            flags, _, destination = struct.unpack(">III", part_a[4:16])
            answer += part_b if destination == own else b""
            if destination == own and flags & BROKE:
                sys.exit("it broke at the other side")
            if destination == own and flags & CLOSE:
                return answer
            continue
        document = XML.fromstring(part_a)
        if document.tag == "PBPeerResp" and theirs is None:
            if document.get("Error") != "0":
                sys.exit(f"Open: {document.get('Error')}")
            theirs = int(document.find("Opened").get("Channel"))
            send_frame(link.stream, struct.pack(">4sIII", CHANNEL, CLOSE, own, theirs), text)


def main(invitation, peer, text):
    line = urllib.parse.urlsplit(invitation)
    field = dict(urllib.parse.parse_qsl(line.query))
    host, _, port = line.netloc.split(",")[0].rpartition(":")
    broker, name = (host.strip("[]"), int(port)), "broker.simopen"
    with tempfile.TemporaryDirectory() as folder:
        key, public = new_key()
        with open(os.path.join(folder, "key.pem"), "w", opener=lambda *a: os.open(*a, 0o600)) as file:
            file.write(key)
        authority = authority_of(broker, field["ca"], name)
        with tls(broker, trusting(authority, folder), name) as stream:
            answer = Link(stream).ask("Join", [("Secret", field["secret"]),
                                               ("PublicKey", base64.b64encode(public).decode())], Device=f"python-{secrets.token_hex(3)}")
        joined = answer.find("Joined")
        context = trusting(authority, folder, joined.find("Certificate").text)
        control = Link(tls(broker, context, name))
        control.ask("Login", UserID=joined.get("UserID"), Reachable="0")
        control.wait_for("Listed")
        control.ask("NoteSend", [("Subject", "from Python"), ("Text", text)], UserID=peer)
        session = control.ask("Connect", UserID=peer, Technique="relay", Port="0").find("Session")
        host, _, port = session.get("Relay").split(",")[0].rpartition(":")
        stream = socket.create_connection((host.strip("[]"), int(port)), 10)
        stream.sendall(token(session.find("Value").text))
        stream.sendall(b"simopen1" + token(session.find("OwnGreeting").text))
        if Link(stream).exactly(40) != b"simopen1" + token(session.find("PeerGreeting").text):
            sys.exit("the other end is not the one that the broker named")
        control.ask("Outcome", SessionID=session.get("SessionID"), State="confirmed")
        context = trusting(authority, folder, session.find("Certificate").text)
        responder = f"responder.{session.get('SessionID')}.session.simopen"
        link = Link(context.wrap_socket(stream, server_hostname=responder))
        sys.stdout.buffer.write(exchange(link, text.encode()))
        control.ask("Logout")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
