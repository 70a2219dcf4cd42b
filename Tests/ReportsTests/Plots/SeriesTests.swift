import Testing

@testable import AttentionZooReports

@Suite struct SeriesTests {
    // MARK: Thinning

    @Test("Thinning keeps extremes and ends")
    func thinningKeepsExtremesAndEnds() {
        // 100,000 points over 800 columns with a spike up and one down.
        var points = (0..<100_000).map { Point(x: Double($0) * 0.008, y: Double(($0 * 7919) % 101)) }
        points[31_234].y = 5000
        points[77_777].y = -5000
        let runs = Thinning.runs(points)
        #expect(runs.count == 1)
        #expect(runs[0].count <= 2 * 801 + 2)
        #expect(runs[0].contains(points[31_234]) && runs[0].contains(points[77_777]))
        #expect(runs[0].first == points.first && runs[0].last == points.last)
        #expect(zip(runs[0], runs[0].dropFirst()).allSatisfy { $0.x <= $1.x })
        // Every column shows its whole range: without the spikes, 0 to 100 in nearly all of them.
        #expect(runs[0].count { $0.y <= 0 } > 700 && runs[0].count { $0.y >= 100 } > 700)
    }

    @Test("Few points are not thinned")
    func fewPointsStayAsTheyAre() {
        let points = (0..<50).map { Point(x: Double($0), y: Double($0 * $0)) }
        #expect(Thinning.runs(points) == [points])
        #expect(Thinning.runs([]) == [])
        #expect(Thinning.runs([Point(x: 1, y: 2)]) == [[Point(x: 1, y: 2)]])
    }

    @Test("Missing values are gaps", arguments: [10, 100_000])
    func missingValuesAreGaps(count: Int) {
        let points = (0..<count).map { index in
            let share = Double(index) / Double(count)
            return Point(x: share * 100, y: 0.4..<0.6 ~= share ? .nan : 1)
        }
        let runs = Thinning.runs(points)
        #expect(runs.count == 2)
        #expect(runs[0].allSatisfy { $0.x < 40 } && runs[1].allSatisfy { $0.x >= 60 })
        #expect(Thinning.runs(points.map { Point(x: $0.x, y: .infinity) }) == [])
    }

    // MARK: Smoothing

    @Test("Smoothing takes the mean of neighbors")
    func smoothingIsTheMeanOfNeighbors() {
        #expect(Series.smoothed([1, 2, 6, 3, 5], radius: 1) == [1, 3, 11.0 / 3, 14.0 / 3, 4])
        #expect(Series.smoothed([1, 2, 3], radius: 0) == [1, 2, 3])
        #expect(Series.smoothed([], radius: 3) == [])
    }

    @Test("Smoothing does not lag and skips missing values")
    func smoothingDoesNotLagAndSkipsWhatIsMissing() {
        let falling = (0..<50).map { 100 - Double($0) }
        // A straight line stays one but for the end, where there are no later values.
        #expect(Array(Series.smoothed(falling, radius: 5)[..<45]) == Array(falling[..<45]))
        let smoothed = Series.smoothed([1, .nan, 3, .infinity, 1e305], radius: 1)
        #expect(smoothed[0] == 1 && smoothed[1].isNaN && smoothed[2] == 3 && smoothed[3].isNaN)
        #expect(smoothed[4].isNaN)
    }

    // MARK: Labels

    @Test("Labels do not overlap and stay near their places")
    func labelsDoNotOverlapAndStayNear() {
        #expect(LabelPlacement.spread([50, 10, 90], height: 15, within: 0...100) == [50, 10, 90])
        #expect(LabelPlacement.spread([50, 50], height: 10, within: 0...100) == [45, 55])
        #expect(LabelPlacement.spread([0, 0, 0], height: 10, within: 0...100) == [0, 10, 20])
        #expect(LabelPlacement.spread([99, 100, 98], height: 10, within: 0...100) == [90, 100, 80])
        #expect(LabelPlacement.spread([], height: 10, within: 0...1) == [])
        // A group that is pushed by a bound pushes the next one.
        #expect(LabelPlacement.spread([-5, 0, 12], height: 10, within: 0...100) == [0, 10, 20])
    }

    @Test("Labels of random places keep their distance")
    func labelsOfAnyPlacesKeepTheirDistance() {
        var state: UInt64 = 1
        func next() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 33) / Double(1 << 31)
        }
        for _ in 0..<200 {
            let wanted = (0..<Int(next() * 12) + 1).map { _ in next() * 240 - 20 }
            let placed = LabelPlacement.spread(wanted, height: 15, within: 0...200)
            // Within rounding of sums of a few numbers below 1000.
            let inOrder = placed.sorted()
            #expect(zip(inOrder, inOrder.dropFirst()).allSatisfy { $1 - $0 >= 15 - 1e-9 })
            #expect(placed.allSatisfy { $0 >= -1e-9 && $0 <= 200 + 1e-9 })
        }
    }

    @Test("Long text is cut with an ellipsis")
    func textIsCutWithAnEllipsis() {
        #expect(TextWidth.fitting("short", width: 100, size: 12) == "short")
        let cut = TextWidth.fitting("a rather long name of a run", width: 100, size: 12)
        #expect(cut.hasSuffix("…") && TextWidth.of(cut, size: 12) <= 100 && cut.count > 8)
        #expect(TextWidth.of("東京", size: 10) >= 20)
    }

    @Test("Coordinates are short")
    func coordinatesAreShort() {
        #expect(
            [0, -0.04, 1.25, 12, -3.07, .nan, 1e30].map(Canvas.number) == [
                "0", "0", "1.3", "12", "-3.1", "0", "1000000",
            ])
    }
}
