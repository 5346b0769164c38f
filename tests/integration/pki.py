# SPDX-License-Identifier: MIT
"""Authorities and certificates for tests, made by openssl(1), with all that RFC 5280 asks for: Python 3.13 insists on it."""
import datetime
import os
import subprocess

CONFIG = """[ca]
default_ca = d
[d]
database = index
new_certs_dir = .
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = optional
"""


def openssl(*args, cwd=None, check=True):
    done = subprocess.run(["openssl", *args], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                          encoding="utf-8", errors="replace", timeout=30)
    if check and done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(args)}: {done.stderr}")
    return done


def date(days):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return moment.strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A folder with a root certificate, ca.pem, and what it has issued."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        os.makedirs(folder)
        self.write("ca.cnf", CONFIG)
        self.write("index", "")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=" + name, cwd=folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def issue(self, name, san="DNS:localhost,IP:127.0.0.1", begin=-1, end=100, usage=None, common_name=None):
        """NAME.pem and NAME.key, valid from so many days from now to so many; their paths."""
        subject = "/CN=" + (common_name or name).replace("/", "\\/")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject, cwd=self.folder)
        self.write("ext", "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                   + (f"subjectAltName={san}\n" if san else "") + (f"extendedKeyUsage={usage}\n" if usage else ""))
        openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
                "-in", name + ".csr", "-out", name + ".pem", "-startdate", date(begin), "-enddate", date(end),
                "-extfile", "ext", cwd=self.folder)
        os.chmod(self.path(name + ".key"), 0o600)
        return self.path(name + ".pem"), self.path(name + ".key")
