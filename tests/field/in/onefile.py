import sqlite3
import ssl

import lxml.etree


def main():
    text = lxml.etree.fromstring("<a>42</a>").text
    number = sqlite3.connect(":memory:").execute("select 6*7").fetchone()[0]
    print(text, number, ssl.OPENSSL_VERSION[:7])


if __name__ == "__main__":
    main()
