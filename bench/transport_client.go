package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
)

// The clients are in the process that measures, on the same two cores as the
// server: on a machine of two there is no fairer place. What a client costs is
// taken from every rival's rate alike, so it is kept small: each is a connection
// that writes bytes prepared before and takes the response apart by hand, about
// a tenth of the work of net/http's client. What remains brings the rates nearer
// to each other than the servers are; the servers' own CPU is printed beside.

// echoed is the text that a call sends and must get back.
const echoed = "the quick brown fox jumps over the lazy dog"

// caller is a client with a session and a keep-alive connection.
type caller struct {
	addr    string
	session string // Mcp-Session-Id
	conn    net.Conn
	in      *bufio.Reader
	body    []byte // of the last response

	request []byte // the call
	id      []byte // the digits of the call's id in it
}

// firstID is the id of a caller's first call; all have as many digits.
const firstID = 100_000_000

const (
	clientVersion = "2025-11-25"
	clientHello   = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + clientVersion +
		`","capabilities":{"roots":{"listChanged":true},"elicitation":{}},"clientInfo":{"name":"bench","version":"1.0.0"}}}`
	clientReady = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// dialCaller connects, and begins a session if the endpoint has any.
func dialCaller(addr string, hasSessions bool) (*caller, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &caller{addr: addr, conn: conn, in: bufio.NewReader(conn)}
	if hasSessions {
		if err := c.begin(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	c.prepare("echo")
	return c, nil
}

func (c *caller) close() error { return c.conn.Close() }

// begin begins a session, another one if there was one.
func (c *caller) begin() error {
	c.session = ""
	if err := c.exchange(c.post(clientHello)); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	if c.session == "" {
		return errors.New("initialize: the response names no session")
	}
	if err := c.exchange(c.post(clientReady)); err != nil {
		return fmt.Errorf("notifications/initialized: %w", err)
	}
	return nil
}

// prepare sets the tool that is called.
func (c *caller) prepare(tool string) {
	c.request = c.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{"text":%q}}}`,
		firstID, tool, echoed))
	at := bytes.Index(c.request, strconv.AppendInt(nil, firstID, 10))
	c.id = c.request[at:at:len(c.request)]
}

// prepareModern begins a session that is named by a handle, and sets the tool
// that is called with it.
func (c *caller) prepareModern(tool string) error {
	if err := c.exchange(c.modern("begin", `{}`, "1")); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	at := bytes.Index(c.body, []byte(`"text":"`))
	if at < 0 || len(c.body) < at+8+mcpsession.TokenLen {
		return fmt.Errorf("begin is answered %q", c.body)
	}
	handle := string(c.body[at+8 : at+8+mcpsession.TokenLen])
	c.request = c.modern(tool, fmt.Sprintf(`{"text":%q,"session":%q}`, echoed, handle), strconv.Itoa(firstID))
	at = bytes.Index(c.request, strconv.AppendInt(nil, firstID, 10))
	c.id = c.request[at:at:len(c.request)]
	return nil
}

// modern is a tools/call of 2026-07-28.
func (c *caller) modern(tool, arguments, id string) []byte {
	return modernRequest(c.addr, "tools/call", "Mcp-Name: "+tool+"\r\n", fmt.Sprintf(`"name":%q,"arguments":%s`, tool, arguments), id)
}

func modernRequest(addr, method, headers, params, id string) []byte {
	const version = "2026-07-28"
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s,"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":"`+version+`","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},`+
		`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}`, id, method, params)
	return []byte(fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json, text/event-stream\r\n"+
		"Content-Type: application/json\r\nMcp-Protocol-Version: "+version+"\r\nMcp-Method: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		addr, method, headers, len(body), body))
}

// call calls the tool.
func (c *caller) call(step int) error {
	strconv.AppendInt(c.id, int64(firstID+step), 10)
	if err := c.exchange(c.request); err != nil {
		return err
	}
	if !bytes.Contains(c.body, []byte(echoed)) {
		return fmt.Errorf("the call was answered with %q", c.body)
	}
	return nil
}

// post is a request with the headers that clients send.
func (c *caller) post(body string) []byte {
	return []byte(fmt.Sprintf("POST /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json, text/event-stream\r\n"+
		"Content-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", c.addr, c.names(), len(body), body))
}

// names are the headers that name the session.
func (c *caller) names() string {
	if c.session == "" {
		return ""
	}
	return "Mcp-Session-Id: " + c.session + "\r\nMcp-Protocol-Version: " + clientVersion + "\r\n"
}

func (c *caller) exchange(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	length, err := c.head()
	if err != nil {
		return err
	}
	c.body = c.body[:0]
	if length >= 0 {
		c.body = append(c.body, make([]byte, length)...)
		_, err = io.ReadFull(c.in, c.body)
		return err
	}
	text, err := io.ReadAll(httputil.NewChunkedReader(c.in))
	if err != nil {
		return err
	}
	c.body = text
	_, err = c.in.Discard(len("\r\n")) // after the last chunk
	return err
}

// head reads the head of a response, and returns the length of its body, -1 if
// it comes in chunks.
func (c *caller) head() (length int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	status := string(bytes.TrimSpace(line))
	if !strings.HasPrefix(status, "HTTP/1.1 20") {
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
		rest, _ := io.ReadAll(io.LimitReader(c.in, 1000)) // for the error alone
		return 0, fmt.Errorf("%s: %q", status, rest)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = -1
		case bytes.EqualFold(name, []byte("Mcp-Session-Id")) && c.session == "":
			c.session = string(bytes.TrimSpace(value))
		}
	}
}

// stream is a GET stream of a session, on a connection of its own.
type stream struct {
	conn net.Conn
	done chan struct{} // closed when nothing is read any more
}

// listen opens a stream and hands what arrives on it to arrived: when it was
// sent, in nanoseconds since 1970.
func (c *caller) listen(arrived func(sent int64)) (*stream, error) {
	return openStream(c.addr, fmt.Sprintf("GET /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: text/event-stream\r\n%s\r\n", c.addr, c.names()), arrived)
}

// subscribe opens a subscriptions/listen stream of 2026-07-28 for changes of the
// list of tools.
func subscribe(addr string, arrived func(sent int64)) (*stream, error) {
	return openStream(addr, string(modernRequest(addr, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true}`, "1")), arrived)
}

func openStream(addr, request string, arrived func(sent int64)) (*stream, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, done: make(chan struct{})}
	get := &caller{addr: addr, conn: conn, in: bufio.NewReaderSize(conn, 512)}
	_, err = io.WriteString(conn, request)
	if err == nil {
		_, err = get.head()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a stream: %w", err), conn.Close())
	}
	go func() {
		defer close(s.done)
		for lines := bufio.NewReaderSize(httputil.NewChunkedReader(get.in), 512); ; {
			line, err := lines.ReadSlice('\n')
			if err != nil { // closed
				return
			}
			if sent, ok := sentAt(line); ok {
				arrived(sent)
			}
		}
	}()
	return s, nil
}

func (s *stream) close() error {
	err := s.conn.Close()
	<-s.done
	return err
}

// sentAt finds the time in a line of an event stream, if it is an event of ours.
func sentAt(line []byte) (int64, bool) {
	_, rest, ok := bytes.Cut(line, []byte(`"at":`))
	if !ok {
		return 0, false
	}
	digits := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 1 {
		return 0, false
	}
	sent, err := strconv.ParseInt(string(rest[:digits]), 10, 64)
	return sent, err == nil
}
