package balancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/balancer"
)

// start starts a balancer over n backends, which answer "INDEX BODY", or on
// /stream send a line and wait.
func start(t *testing.T, n int) (*balancer.Balancer, []*httptest.Server) {
	t.Helper()
	var servers []*httptest.Server
	var urls []string
	for i := range n {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintln(w, "first")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%d %s%s", i, body, r.Header.Get(balancer.HeaderTo))
		}))
		t.Cleanup(s.Close)
		servers, urls = append(servers, s), append(urls, s.URL)
	}
	return balancer.Start(t, urls...), servers
}

// post returns the status, the answering replica and the answer.
func post(t *testing.T, b *balancer.Balancer, to string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL()+"/x", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	if to != "" {
		req.Header.Set(balancer.HeaderTo, to)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get(balancer.HeaderReplica), string(answer)
}

func expect(t *testing.T, b *balancer.Balancer, to string, replica int) {
	t.Helper()
	status, by, answer := post(t, b, to)
	if status != 200 || by != fmt.Sprint(replica) || answer != fmt.Sprintf("%d body", replica) || b.Last() != replica {
		t.Errorf("want replica %d, got %d from %q (last %d): %s", replica, status, by, b.Last(), answer)
	}
}

func TestEveryRequestGoesToTheNextReplica(t *testing.T) {
	b, _ := start(t, 3)
	for i := range 6 {
		expect(t, b, "", i%3) // all on one connection
	}
	expect(t, b, "2", 2)
	b.Pin(1)
	expect(t, b, "", 1)
	expect(t, b, "", 1)
	b.Unpin()
	expect(t, b, "", 0)
	if got := fmt.Sprint(b.Hits()); got != "[3 4 3]" {
		t.Errorf("hits %s", got)
	}
	if status, _, _ := post(t, b, "3"); status != http.StatusBadRequest {
		t.Errorf("a replica that does not exist: status %d", status)
	}
}

func TestDeadReplica(t *testing.T) {
	b, servers := start(t, 2)
	servers[0].Close()
	expect(t, b, "", 1) // replica 0's turn: passed over, with the whole body
	expect(t, b, "", 1)
	if status, _, _ := post(t, b, "0"); status != http.StatusBadGateway {
		t.Errorf("asked for the dead one: status %d", status)
	}
	b.SetFailover(false)
	if status, _, _ := post(t, b, ""); status != http.StatusBadGateway {
		t.Errorf("without failover: status %d", status)
	}
	b.Replace(t, 0, servers[1].URL)
	if status, by, _ := post(t, b, "0"); status != http.StatusOK || by != "0" {
		t.Errorf("replaced: status %d from %q", status, by)
	}
}

func TestStreamsPassAtOnceAndEndWithTheTest(t *testing.T) {
	b, _ := start(t, 1)
	resp, err := http.Get(b.URL() + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	// Left open on purpose: the balancer's cleanup has to end it, or the
	// backend's would wait for ever.
	t.Cleanup(func() { resp.Body.Close() })
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

func TestAtRandomEveryReplicaGetsRequestsInNoOrder(t *testing.T) {
	b, servers := start(t, 3)
	b.SetRandom(true)
	const requests = 200
	inTurn, last := 0, -1
	for range requests {
		post(t, b, "")
		if b.Last() == (last+1)%3 {
			inTurn++
		}
		last = b.Last()
	}
	for i, hits := range b.Hits() {
		if hits < requests/6 { // half of a third; one in a million runs gets less
			t.Errorf("replica %d answered %d of %d requests", i, hits, requests)
		}
	}
	if inTurn > requests*2/3 {
		t.Errorf("%d of %d requests went to the next replica", inTurn, requests)
	}
	servers[0].Close()
	for range 20 {
		if status, _, _ := post(t, b, ""); status != http.StatusOK {
			t.Errorf("with a replica down, a request is answered %d", status)
		}
	}
}

func TestAnswersArriveWhole(t *testing.T) {
	whole := strings.Repeat("x", 16<<10) // of several writes
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, whole)
	}))
	t.Cleanup(backend.Close)
	b := balancer.Start(t, backend.URL)
	for range 1000 { // a race once cut one in a hundred
		if _, _, answer := post(t, b, ""); answer != whole {
			t.Fatalf("%d bytes of %d", len(answer), len(whole))
		}
	}
}
