-- Reads a cell.
-- KEYS: cell.
-- ARGV: call.
-- Returns {call, value or false}.

return { ARGV[1], redis.call('GET', KEYS[1]) }
