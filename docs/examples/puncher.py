"""Opens a TCP connection by simultaneous open (RFC 9293, 3.5), as docs/exec-contract.md asks for."""
import json, socket, sys, threading, time

def say(**words): print(json.dumps(words), flush=True)
def hear(): return json.loads(sys.stdin.readline())

def bound(port=0):
    end = socket.socket(socket.AF_INET6 if ":" in start["address"] else socket.AF_INET)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.bind((start["address"], port))
    return end

def exchange(end, wanted):
    sender = threading.Thread(target=lambda: end.sendall(bytes(wanted)))
    sender.start()
    received = 0
    while received < wanted and (chunk := end.recv(min(65536, wanted - received))):
        received += len(chunk)
    sender.join()
    say(do="exchanged", sent=wanted, received=received)

say(do="ready")
start = hear()
probe = bound()
probe.connect((start["observer"]["address"], start["observer"]["port"]))
public = json.loads(probe.makefile().readline())
port = probe.getsockname()[1]
say(do="send", data=public)
peer = hear()["data"]
say(do="log", text=f"seen as {public}, dials {peer}")
until = time.monotonic() + start["deadline-ms"] / 1000 - 1
while time.monotonic() < until:
    end = bound(port)
    try:
        end.connect((peer["address"], peer["port"]))
        break
    except OSError as refused:
        end.close()
        time.sleep(0.05)
        say(do="log", text=str(refused))
else:
    sys.exit(say(do="failed", cause="nobody was there in time"))
name = lambda it: f"[{it[0]}]:{it[1]}" if ":" in it[0] else f"{it[0]}:{it[1]}"
say(do="established", local=name(end.getsockname()), remote=name(end.getpeername()))
exchange(end, hear()["bytes"])
hear()
