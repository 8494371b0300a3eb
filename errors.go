package mcpsession

import "errors"

// The errors of a SessionStore. They arrive wrapped in a message that says
// what was tried on which session: test for them with errors.Is.
var (
	// ErrNotFound: no live session has this id. It never existed, it was
	// deleted, a deadline passed, the secret is wrong, or the id is malformed;
	// a caller cannot tell which, on purpose. It is final: the same id never
	// comes back. Start a new session.
	ErrNotFound = errors.New("session not found")

	// ErrInvalid: what was to be stored is not storable, whoever tries: an empty
	// id, text that is not UTF-8, a value that is not JSON. Nothing was stored;
	// the message says what is wrong.
	ErrInvalid = errors.New("not storable")

	// ErrExists: Create met a live session of the same ref.
	ErrExists = errors.New("session already exists")

	// ErrConflict: others changed the session faster than Update could apply
	// its function to the newest revision. Nothing was stored; try again.
	ErrConflict = errors.New("session changed concurrently")

	// ErrTooLarge: the session would exceed Limits.MaxSize. Nothing was stored.
	ErrTooLarge = errors.New("session too large")

	// ErrFull: the store holds as much as it may. Nothing was stored; room
	// appears when sessions end.
	ErrFull = errors.New("session store full")

	// ErrUnavailable: the storage did not answer, so nothing is known about the
	// session. It says nothing about its existence; retry later.
	ErrUnavailable = errors.New("session store unavailable")

	// ErrUnsupportedVersion: the session was written by a newer release with a
	// schema that this one cannot read. It was left as it is; upgrade.
	ErrUnsupportedVersion = errors.New("session stored by a newer version")
)
