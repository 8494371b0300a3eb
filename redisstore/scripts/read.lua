-- Reads on in a log: at most MAX_EVENTS events, and no further once they have
-- MAX_BYTES, but at least one.
-- KEYS: log.
-- ARGV: call, id after which to read.
-- Returns {call, length, first id, last id, id, event, id, event, ...}.

local MAX_EVENTS = 100
local MAX_BYTES = 1048576
local STEP = 10 -- events fetched at once: they are in memory before their size is known

local length = redis.call('XLEN', KEYS[1])
if length == 0 then return { ARGV[1], 0, '', '' } end

local reply = { ARGV[1], length, '', '' }
local after, bytes, ended = ARGV[2], 0, false
while not ended and bytes < MAX_BYTES and #reply < 4 + 2 * MAX_EVENTS do
  local entries = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', STEP)
  ended = #entries < STEP
  for _, entry in ipairs(entries) do
    if bytes >= MAX_BYTES then
      ended = false
      break
    end
    after = entry[1]
    bytes = bytes + #entry[2][2]
    reply[#reply + 1] = after
    reply[#reply + 1] = entry[2][2]
  end
end

reply[3] = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
if ended and #reply > 4 then
  reply[4] = after
else
  reply[4] = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
end
return reply
