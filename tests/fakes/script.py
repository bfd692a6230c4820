"""What the fake provider is asked to do: "ttfb=200;ev=50;gap=20;rst@30" and the like.

A script is a list of directives separated by ';'. Each is a bare word, word=value, or word@place,
where a place is a number of content events or a word ("head", "end"). Unknown words are an error, so
that a test cannot pass because its fault was misspelt.

  timing    ttfb=MS       before the response head           gap=MS     between content events
            hang          never answer                       stall@K    nothing more after K events
            trickle=MS    one byte every MS                  bytes=N    writes of N bytes each
            split=N       two writes, cut at byte N          endgap=MS  before the end of the body
            hold          after each content event until POST /__go (one event each)
  content   ev=N          content events (tokens)            size=N     bytes of content in each
            space=0       the tokens of a text have no space between them
            running       each content event has the usage so far
            usage=I/O     reported tokens, or I/O/CACHED/REASONING      nousage
            finish=WORD   finish_reason                      tool       call the first tool offered
            notool        do not, though tools are there     echo       content: what was received
            badusage=KIND negative huge string float null missing twice decreasing bool
  endings   rst rst@K rst@end     TCP reset before the head, after K events, before [DONE]
            cut@K cut@end         FIN without the end of the HTTP body
            cut@size cut@data cut@crlf cut@last cut@trailer  FIN inside the chunked framing
                                  (the first three before [DONE], the others after it)
            cutbytes=N            FIN after N bytes of body   short=N    length N too large, FIN
            nodone                whole HTTP body, no [DONE]  nofinish   no finish_reason either
            closedelim            body ended by the close     closeafter close after the answer
            nonotify              over TLS: the close comes without close_notify
            idleclose=MS          close MS after the answer   unsolicited408  408 after it
            dieonreuse            a second request on the connection is met with a close
            busyclose             Connection: close in the answer
  errors    status=N retry_after=TEXT html errsize=N code=WORD type=WORD message=TEXT
            err@K errevent@K      error inside the stream after K events
            garbage@K             an event of broken JSON    badjson    broken JSON, no stream
            nullchoices@K indexgap@K
            ctype=TEXT            other content type
            times=N               these faults for the first N requests of this script only
  framing   eol=lf|crlf|cr|mix nospace multiline comments ids bom  forms of server-sent events
            bigevent=N@K          an event of N bytes        noeol=N    N bytes without a newline
            length                content-length, not chunked
            ext                   chunk extensions           trailers   a trailer section
            chunk=N               chunks of N bytes
            lastwrite             [DONE] and the end of the body in one write
            endless=BYTES         repeat events until BYTES went out
            infos=N               N informational responses first
            endlesshead           header lines without end
  encoding  gzip gziptrunc gzipdouble gzipbomb=MIB ce=LABEL
  raw       bad=KIND              a whole broken answer: the names of wire.BAD_HEADS
            hdr=NAME:VALUE        one more response header (%3b for ';')
"""

import urllib.parse

WORDS = {
    "ttfb", "gap", "hang", "stall", "trickle", "bytes", "split", "endgap", "ev", "size", "usage",
    "nousage", "finish", "tool", "notool", "echo", "badusage", "rst", "cut", "cutbytes", "short",
    "nodone", "nofinish", "closedelim", "closeafter", "idleclose", "unsolicited408", "dieonreuse",
    "busyclose", "status", "retry_after", "html", "errsize", "code", "type", "message", "err",
    "errevent", "garbage", "badjson", "nullchoices", "indexgap", "ctype", "times", "eol", "nospace",
    "multiline", "comments", "ids", "bom", "bigevent", "noeol", "length", "ext", "trailers", "chunk",
    "lastwrite", "endless", "infos", "endlesshead", "gzip", "gziptrunc", "gzipdouble", "gzipbomb",
    "ce", "bad", "hdr", "hold", "nonotify", "running", "space",
}


class ScriptError(ValueError):
    pass


class Script:
    """A parsed script. `s.int("gap", 0)`, `s.has("nodone")`, `s.at("rst")`."""

    def __init__(self, text=""):
        self.text = text
        self.values = {}
        self.places = {}
        self.headers = []
        for part in text.split(";"):
            part = part.strip()
            if part:
                self._add(part)

    def _add(self, part):
        word, equals, value = part.partition("=")
        if equals:
            word = word.strip()
            value = urllib.parse.unquote(value)
            if word == "hdr":
                self.headers.append(tuple(value.split(":", 1)))
            elif word == "bigevent":
                value, _, place = value.partition("@")
                self.places[word] = place or "0"
            self.values[word] = value
        else:
            word, at, place = part.partition("@")
            if at:
                self.places[word] = place
            else:
                self.values[word] = ""
        if word not in WORDS:
            raise ScriptError("unknown directive: " + word)

    def has(self, word):
        return word in self.values or word in self.places

    def get(self, word, default=None):
        return self.values.get(word, default)

    def int(self, word, default=0):
        value = self.values.get(word)
        return default if value in (None, "") else int(value)

    def at(self, word, count):
        """Whether word@place means: here, after `count` events."""
        place = self.places.get(word)
        return place is not None and place.isdigit() and int(place) == count

    def place(self, word):
        return self.places.get(word)


def find(headers, body, default):
    """The script of a request: header x-mock, member x_mock or metadata.mock, model "mp:...", or
    the server's own."""
    text = headers.get("x-mock")
    if text is None and isinstance(body, dict):
        metadata = body.get("metadata")
        model = body.get("model")
        if isinstance(body.get("x_mock"), str):
            text = body["x_mock"]
        elif isinstance(metadata, dict) and isinstance(metadata.get("mock"), str):
            text = metadata["mock"]
        elif isinstance(model, str) and model.startswith("mp:"):
            text = model[3:]
    return Script(default if text is None else text)
