-- What wrk sends: the bodies of a file in turn, one JSON body a line; and what it says at the end.
local requests, turn = {}, 0

function init(arguments)
   for line in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("POST", nil, nil, line)
   end
   turn = math.random(#requests)
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency)
   local failed = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
