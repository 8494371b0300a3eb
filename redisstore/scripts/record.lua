-- Every script that changes a session or moves its deadlines begins with this
-- file: what is stored, the server's clock, and the reply. Nearly all calls are
-- reads, and a script runs from its first line at every call, so this does not
-- define more functions than a read needs: each costs its creation.
--
-- These scripts are called with KEYS session, index (of one slot), and ARGV[1]
-- ref, ARGV[2] digest. They return {ref, outcome, value, time}, by answer below,
-- where the outcome is
--   done     and the value what touch read, else ''
--   absent   the digest opens no session
--   exists   (create) another session is there
--   differs  and the value, which has another revision, or a schema that this
--            script does not know, and was left alone
-- and the time is the server's, now if nothing else is said.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- The stored session, if any, and the fields of its header (see record.go), all
-- of them nil if its schema is not ours. They are text, the numbers too.
local stored = redis.call('GET', KEYS[1])
local revision, created, expires, idle, ref, digests, writers =
  string.match(stored or '', '^1 (%d+) (%d+) (%d+) (%d+) %d+ ([^ \n]+) ([^ \n]+) ([^ \n]*)\n')

-- Whether the digest opens it: whether it is the only one, or one of several.
local opened = digests == ARGV[2]
  or digests and string.find(',' .. digests .. ',', ',' .. ARGV[2] .. ',', 1, true)

-- Until when the session lives after an access now: its idle timeout and a
-- sixteenth, but never past its absolute deadline.
local function deadline()
  return string.format('%d', math.min(now + idle + math.floor(idle / 16), expires))
end

local function answer(outcome, value, time)
  return { ARGV[1], outcome, value or '', time or now }
end
