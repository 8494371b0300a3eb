-- Reads on in a log: at most MAX_EVENTS events, and no further once they have
-- MAX_BYTES, but at least one.
-- KEYS: log.
-- ARGV: call, where to start, as XRANGE takes it.
-- Returns {call, length, first id, last id, id, event, id, event, ...}.

local MAX_EVENTS = 100
local MAX_BYTES = 1048576

-- How many events are fetched at once, at first and at most: they are in memory
-- before their size is known.
local STEP, MAX_STEP = 10, 40

local length = redis.call('XLEN', KEYS[1])
if length == 0 then return { ARGV[1], 0, '', '' } end

local reply = { ARGV[1], length, '', '' }
local start, bytes, left, step, ended = ARGV[2], 0, MAX_EVENTS, STEP, false
while not ended and bytes < MAX_BYTES and left > 0 do
  step = math.min(step, left)
  local entries = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', step)
  ended = #entries < step
  for _, entry in ipairs(entries) do
    if bytes >= MAX_BYTES then
      ended = false
      break
    end
    local event = entry[2][2]
    bytes = bytes + #event
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = event
    start = '(' .. entry[1]
  end
  left = left - step
  step = math.min(2 * step, MAX_STEP)
end

reply[3] = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]
if ended and #reply > 4 then
  reply[4] = reply[#reply - 1]
else
  reply[4] = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
end
return reply
