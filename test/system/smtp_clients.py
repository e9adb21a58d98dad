"""Python's smtplib and its LMTP class as clients of the mail server: what an ordinary program does.

Arguments: the SMTP port, the LMTP port, the server's certificate. One line of JSON for each thing done.
"""
import json
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.policy import SMTPUTF8

smtp_port, lmtp_port, certificate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def tell(what, result):
    print(json.dumps([what, result], default=repr), flush=True)


def message(subject):
    made = EmailMessage()
    made["From"] = "Ann <ann@example.org>"
    made["To"] = "user1@example.test, user2@example.test"
    made["Subject"] = subject
    made.set_content("Hello,\n.a dot\nFrom here\n")
    made.add_attachment(b"\0\1\2" * 1000, maintype="application", subtype="octet-stream", filename="a.bin")
    return made


with smtplib.SMTP("127.0.0.1", smtp_port, timeout=30) as client:
    tell("send_message", client.send_message(message("smtplib")))
    refused = client.sendmail(
        "ann@example.org", ["user1@example.test", "nobody@example.test"], "Subject: one of two\n\nx\n"
    )
    tell("refused", {address: reply[0] for address, reply in refused.items()})
    try:
        client.sendmail("ann@example.org", ["ann@example.org"], "Subject: relayed\n\nx\n")
    except smtplib.SMTPRecipientsRefused as error:
        tell("relay", {address: reply[0] for address, reply in error.recipients.items()})
    try:
        client.login("user1", "password")
    except smtplib.SMTPNotSupportedError:
        tell("login", "not supported")
    tell("verify", client.verify("user1")[0])
    tell("noop", client.noop()[0])

context = ssl.create_default_context(cafile=certificate)
context.minimum_version = ssl.TLSVersion.TLSv1_2
with smtplib.SMTP("127.0.0.1", smtp_port, timeout=30) as client:
    # The certificate is the one of this name.
    client._host = "mx.example.test"
    client.starttls(context=context)
    client.ehlo()
    tell("tls", [client.sock.version(), client.has_extn("starttls"), client.has_extn("auth")])
    tell("send_message over TLS", client.send_message(message("smtplib over TLS")))

with smtplib.SMTP("127.0.0.1", smtp_port, timeout=30) as client:
    made = EmailMessage(policy=SMTPUTF8)
    made["From"] = "j\u00f6rg@example.org"
    made["To"] = "user3@example.test"
    made["Subject"] = "Gr\u00fc\u00dfe"
    made.set_content("\u20ac\n")
    tell("send_message in UTF-8", client.send_message(made))

old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
old.check_hostname = False
old.verify_mode = ssl.CERT_NONE
try:
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with smtplib.SMTP("127.0.0.1", smtp_port, timeout=30) as client:
        client.starttls(context=old)
        tell("old TLS", "taken")
except (ssl.SSLError, OSError, ValueError, smtplib.SMTPException) as error:
    tell("old TLS", "refused")

with smtplib.LMTP("127.0.0.1", lmtp_port, timeout=30) as client:
    client.ehlo_or_helo_if_needed()
    client.mail("ann@example.org")
    tell("LMTP rcpt", [client.rcpt(f"{name}@example.test")[0] for name in ("user4", "nobody", "user5")])
    client.putcmd("data")
    tell("LMTP data", client.getreply()[0])
    client.send(b"Subject: LMTP\r\n\r\nx\r\n.\r\n")
    tell("LMTP replies", [client.getreply()[0], client.getreply()[0]])
