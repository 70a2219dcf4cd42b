import Foundation
import Tensors

/// Seconds in which the process was running: not those in which it was stopped (Ctrl-Z, a debugger) or the machine asleep.
///
/// The system does not say how long that was. So a thread takes the time ten times a second while a training runs: where more
/// than a second has passed since it did, the process was not there to count.
final class RunningTime: Sendable {
    static let shared = RunningTime()

    private struct State {
        var seconds = 0.0
        var last = ContinuousClock.now
        /// The number of threads that take the time.
        var tickers = 0
    }

    private let state = Guarded(State())
    /// The most that counts between two looks at the clock, in seconds.
    private static let most = 1.0

    /// Seconds since some moment.
    var seconds: Double { seconds(at: .now) }

    /// - Parameter now: what the clock says, not before what it said last.
    func seconds(at now: ContinuousClock.Instant) -> Double {
        state.withLock { state in
            let passed = (now - state.last) / .seconds(1)
            state.seconds += passed > Self.most && state.tickers > 0 ? Ticking.interval : max(passed, 0)
            state.last = max(now, state.last)
            return state.seconds
        }
    }

    /// Takes the time as long as it lives.
    final class Ticking {
        static let interval = 0.1
        private let isOver = DispatchSemaphore(value: 0)
        private let time: RunningTime

        init(_ time: RunningTime = .shared) {
            self.time = time
            _ = time.seconds
            time.state.withLock { $0.tickers += 1 }
            onThread("time") { [isOver] in
                while isOver.wait(timeout: .now() + Self.interval) == .timedOut { _ = time.seconds }
            }
        }

        deinit {
            time.state.withLock { $0.tickers -= 1 }
            isOver.signal()
        }
    }
}

/// Seconds of running since it was made; right where a `RunningTime.Ticking` lives.
struct Stopwatch {
    private let start = RunningTime.shared.seconds
    var seconds: Double { RunningTime.shared.seconds - start }
}
