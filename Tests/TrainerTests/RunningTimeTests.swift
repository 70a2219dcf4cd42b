import Testing

@testable import Trainer

@Suite struct RunningTimeTests {
    @Test("Gaps in which nobody looked at the clock do not count while somebody should have")
    func gaps() {
        let time = RunningTime()
        let ticking = RunningTime.Ticking(time)
        // Far in the future, so that what the thread sees of the clock meanwhile lies before and counts nothing.
        let start = ContinuousClock.now + .seconds(1_000_000)
        let begin = time.seconds(at: start)
        var (expected, elapsed) = (begin, Duration.zero)
        for (gap, counted) in [(0.1, 0.1), (0.75, 0.75), (30, 0.1), (0.25, 0.25), (86_400, 0.1), (0, 0)] {
            expected += counted
            elapsed += .seconds(gap)
            #expect(abs(time.seconds(at: start + elapsed) - expected) < 1e-6)
        }
        withExtendedLifetime(ticking) {}
    }

    @Test("Where nobody takes the time, all of it counts")
    func withoutTicking() {
        let time = RunningTime()
        let start = ContinuousClock.now + .seconds(10)
        let begin = time.seconds(at: start)
        #expect(abs(time.seconds(at: start + .seconds(500)) - begin - 500) < 1e-6)
    }
}
