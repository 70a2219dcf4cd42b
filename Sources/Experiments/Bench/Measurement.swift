import Foundation
import Tensors

/// Seconds on a clock that only goes forward.
package func now() -> Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }

/// The fastest of several runs, in seconds: the one least disturbed by others. A run is repeated until it takes at least
/// `atLeast` seconds.
package func fastest(of runs: Int = 5, atLeast: Double = 0.02, _ body: () -> Void) -> Double {
    body()
    let start = now()
    body()
    let once = max(now() - start, 1e-9)
    let repeats = max(1, Int(atLeast / once))
    var best = Double.infinity
    for _ in 0..<runs {
        let start = now()
        for _ in 0..<repeats { body() }
        best = min(best, (now() - start) / Double(repeats))
    }
    return best
}

/// The most memory this process has had resident, in MB.
package func peakResidentMegabytes() -> Double {
    var usage = rusage()
    #if os(Linux)
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_maxrss) / 1024
    #else
        getrusage(RUSAGE_SELF, &usage)
        return Double(usage.ru_maxrss) / 1_048_576  // bytes there
    #endif
}
