#!/usr/bin/env python3
"""What changing one certificate costs when there are many: from asking until a client sees the new one.

usage: bench/certificates.py [--certificates N] [--rounds N]
Needs openssl.
"""

import argparse
import hashlib
import socket
import ssl
import subprocess
import threading
import time

import figures
from hythe import Server

# The API takes 4,500 calls an hour, and each certificate needs two.
MOST = 2000
# With its default name, one less than an app may have.
DOMAINS_PER_APP = 999


def pair(directory, name):
    """A certificate for *.example.com that vouches for itself, and its key."""
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "30", "-subj", "/CN=*.example.com",
         "-addext", "subjectAltName=DNS:*.example.com"],
        check=True, stderr=subprocess.DEVNULL,
    )
    return {"certificate_chain": certificate.read_text(), "private_key": key.read_text()}


def fingerprint(text):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def shown(server, name):
    """Fingerprint of the certificate that a client who asks for this name is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secure:
            return hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest()


def fill(server, count, first):
    """So many domains, each with a certificate of its own; gives the place of the first one."""
    place = None
    for number in range(count):
        if number % DOMAINS_PER_APP == 0:
            app = f"bench-{number // DOMAINS_PER_APP}"
            server.api("POST", "/apps", {"name": app})
        endpoint = server.api("POST", f"/apps/{app}/sni-endpoints", first)
        domain = {"hostname": f"n{number}.example.com", "sni_endpoint": endpoint["name"]}
        server.api("POST", f"/apps/{app}/domains", domain)
        place = place or f"/apps/{app}/sni-endpoints/{endpoint['name']}"
    return place


def visit(server, stop, failures, visits):
    while not stop.is_set():
        try:
            shown(server, "n1.example.com")
            visits.append(1)
        except OSError as error:
            failures.append(error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--certificates", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50)
    wanted = parser.parse_args()
    count = min(wanted.certificates, MOST)
    with Server() as server:
        pairs = [pair(server.dir, f"pair-{number}") for number in range(2)]
        prints = [fingerprint(one["certificate_chain"]) for one in pairs]
        place = fill(server, count, pairs[0])
        stop, failures, visits = threading.Event(), [], []
        visitor = threading.Thread(target=visit, args=(server, stop, failures, visits))
        visitor.start()
        answered = []
        for number in range(wanted.rounds):
            new = (number + 1) % 2
            begun = time.perf_counter()
            server.api("PATCH", place, pairs[new])
            answered.append((time.perf_counter() - begun) * 1000)
            if shown(server, "n0.example.com") != prints[new]:
                raise SystemExit("the API has answered and the old certificate is shown")
        stop.set()
        visitor.join()
    print(f"{count} certificates; a change, from asking until it is shown (ms): {figures.spread(answered)}")
    print(f"{len(failures)} of {len(visits) + len(failures)} handshakes failed meanwhile")
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
