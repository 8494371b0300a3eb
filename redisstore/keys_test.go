package redisstore

import (
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
)

// The names are part of what is stored: a release that changed one would not
// find the sessions of the release before.
func TestKeyNamesNeverChange(t *testing.T) {
	counting := mcpsession.Ref{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	all := mcpsession.Ref{}
	for i := range all {
		all[i] = 0xff
	}
	for _, test := range []struct {
		prefix         string
		ref            mcpsession.Ref
		session, index string
	}{
		{"mcps", mcpsession.Ref{}, "mcps:{b0}:s:AAAAAAAAAAAAAAAAAAAAAA", "mcps:{b0}:i"},
		{"mcps", counting, "mcps:{b1}:s:AAECAwQFBgcICQoLDA0ODw", "mcps:{b1}:i"},
		{"mcps", mcpsession.Ref{0x04}, "mcps:{b0}:s:BAAAAAAAAAAAAAAAAAAAAA", "mcps:{b0}:i"},
		{"mcps", mcpsession.Ref{0xab, 0xcd}, "mcps:{b973}:s:q80AAAAAAAAAAAAAAAAAAA", "mcps:{b973}:i"},
		{"team:a", all, "team:a:{b1023}:s:_____________________w", "team:a:{b1023}:i"},
	} {
		k := keys{test.prefix}
		if got := k.session(test.ref); got != test.session {
			t.Errorf("session %s is stored under %q, want %q", test.ref, got, test.session)
		}
		if got := k.index(bucketOf(test.ref)); got != test.index {
			t.Errorf("session %s is listed in %q, want %q", test.ref, got, test.index)
		}
	}
	for _, test := range []struct {
		key                            mcpsession.Key
		log, cell, channel, writer, of string
	}{
		{mcpsession.Key{Ref: counting, Name: "a:{b}"}, "mcps:{b1}:l:AAECAwQFBgcICQoLDA0ODw:a:{b}", "mcps:{b1}:c:AAECAwQFBgcICQoLDA0ODw:a:{b}", "mcps:{b1}:n:AAECAwQFBgcICQoLDA0ODw:a:{b}", "mcps:{b1}:w:W", "a session"},
		{mcpsession.Key{Name: "a:{b}"}, "mcps:{fleet}:l:a:{b}", "mcps:{fleet}:c:a:{b}", "mcps:{fleet}:n:a:{b}", "mcps:{fleet}:w:W", "all"},
	} {
		k := keys{"mcps"}
		for _, name := range []struct{ what, got, want string }{
			{"log", k.log(test.key), test.log},
			{"cell", k.cell(test.key), test.cell},
			{"channel", k.channel(test.key), test.channel},
			{"writer", k.writer(test.key.Ref, "W"), test.writer},
		} {
			if name.got != name.want {
				t.Errorf("the %s of %s is named %q, want %q", name.what, test.of, name.got, name.want)
			}
		}
	}
	if got := (keys{"mcps"}).replica("R"); got != "mcps:r:R" {
		t.Errorf("a replica is named %q", got)
	}
	if buckets != 1024 {
		t.Errorf("the number of buckets changed to %d", buckets)
	}
}

// hashTag is what Redis Cluster takes the slot from: the text between the first
// { and the next }, if there is any.
func hashTag(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
		return tag
	}
	return key
}

func TestAllKeysOfASessionAndItsIndexShareAHashTag(t *testing.T) {
	for _, prefix := range []string{"mcps", ":", "a:b", "-._:", strings.Repeat("x", 64)} {
		if err := checkPrefix(prefix); err != nil {
			t.Fatal(err)
		}
		k := keys{prefix}
		for range 100 {
			ref := mcpsession.NewSessionID().Ref()
			key := mcpsession.Key{Ref: ref, Name: "{x}"}
			session := k.session(ref)
			for _, other := range []string{k.index(bucketOf(ref)), k.log(key), k.cell(key), k.writer(ref, "w")} {
				if tag := hashTag(session); tag != hashTag(other) || !strings.HasPrefix(tag, "b") {
					t.Fatalf("%s and %s do not share a hash tag", session, other)
				}
			}
		}
	}
}

func TestRefsSpreadEvenlyOverTheBuckets(t *testing.T) {
	const n = 100_000
	var counts [buckets]float64
	for range n {
		counts[bucketOf(mcpsession.NewSessionID().Ref())]++
	}
	const mean = float64(n) / buckets
	var spread float64
	for b, count := range counts {
		if count < mean/2 || count > 2*mean {
			t.Errorf("bucket %d has %.0f refs, %.0f would be its share", b, count, mean)
		}
		spread += (count - mean) * (count - mean) / mean
	}
	// Chi-square with 1023 degrees of freedom: mean 1023, deviation 45.
	if spread > 1023+7*45 {
		t.Errorf("the buckets are filled unevenly: chi-square %.0f", spread)
	}
}

func TestBucketsSpreadOverTheShardsOfACluster(t *testing.T) {
	const slots, shards = 16384, 12 // each shard has a range of slots
	var load [shards]float64
	for b := range buckets {
		load[crc16(hashTag(keys{"mcps"}.index(b)))%slots*shards/slots]++
	}
	for shard, count := range load {
		if share := count * shards / buckets; share < 0.9 || share > 1.1 {
			t.Errorf("shard %d of %d has %.2f times its share of the buckets", shard, shards, share)
		}
	}
}

// crc16 is the hash by which Redis Cluster chooses a slot (XMODEM).
func crc16(text string) int {
	crc := uint16(0)
	for _, b := range []byte(text) {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc)
}

func TestPrefixes(t *testing.T) {
	for _, test := range []struct {
		prefix string
		ok     bool
	}{
		{"mcps", true},
		{"a", true},
		{"Z9", true},
		{"prod:eu-west.1_blue", true},
		{":", true},
		{strings.Repeat("x", 64), true},
		{strings.Repeat("x", 65), false},
		{"", false},
		{" ", false},
		{"a b", false},
		{"{tag}", false}, // would move the hash tag
		{"a{", false},
		{"a}", false},
		{"a*", false},
		{"a?", false},
		{"a/b", false},
		{"a\\b", false},
		{"a\n", false},
		{"a\x00", false},
		{"ä", false},
		{"a\xff", false},
		{"\ufffd", false},
	} {
		err := checkPrefix(test.prefix)
		if (err == nil) != test.ok {
			t.Errorf("prefix %q: error is %v, usable should be %t", test.prefix, err, test.ok)
		}
		if err != nil && !strings.Contains(err.Error(), "1 to 64 characters") {
			t.Errorf("prefix %q: the error does not say what is allowed: %v", test.prefix, err)
		}
	}
}
