import Testing

@testable import AttentionZooReports

@Suite struct TickTests {
    @Test(
        "Linear ticks are round numbers with labels",
        arguments: [
            (0.0...10.0, 5, TickFormat.automatic, ["0", "2", "4", "6", "8", "10"]),
            (1.0...3.5, 5, .automatic, ["1.0", "1.5", "2.0", "2.5", "3.0", "3.5"]),
            (0.1...0.3, 4, .automatic, ["0.10", "0.15", "0.20", "0.25", "0.30"]),
            (-1.0...1.0, 4, .automatic, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
            (0.0...3e-4, 3, .automatic, ["0", "10⁻⁴", "2×10⁻⁴", "3×10⁻⁴"]),
            (0.0...2000.0, 4, .automatic, ["0", "500", "1,000", "1,500", "2,000"]),
            (0.0...3e7, 3, .automatic, ["0", "10⁷", "2×10⁷", "3×10⁷"]),
            (0.0...2000.0, 2, .compact, ["0", "1,000", "2,000"]),
            (0.0...40_000.0, 4, .compact, ["0", "10k", "20k", "30k", "40k"]),
            (0.0...1.5e6, 3, .compact, ["0", "0.5M", "1.0M", "1.5M"]),
            (0.0...1.0, 4, .percent, ["0%", "20%", "40%", "60%", "80%", "100%"]),
            (0.0...0.02, 4, .percent, ["0.0%", "0.5%", "1.0%", "1.5%", "2.0%"]),
            (999.9999...1000.0001, 2, .automatic, ["999.9999", "1,000.0000", "1,000.0001"]),
        ] as [(ClosedRange<Double>, Int, TickFormat, [String])])
    func linear(domain: ClosedRange<Double>, count: Int, format: TickFormat, labels: [String]) {
        #expect(Ticks(linear: domain, count: count, format: format).labels == labels)
    }

    @Test(
        "Logarithmic ticks are powers and their simple multiples",
        arguments: [
            (1.0...1000.0, 6, ["1", "10", "100", "1,000"]),
            (1.0...40.0, 6, ["1", "2", "5", "10", "20"]),
            (1e-6...1e-2, 6, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "0.001", "0.01"]),
            (1e-8...1e4, 4, ["10⁻⁸", "10⁻⁴", "1", "10,000"]),
            (3.0...4.0, 4, ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]),
        ])
    func logarithmic(domain: ClosedRange<Double>, count: Int, labels: [String]) {
        #expect(Ticks(logarithmic: domain, count: count, format: .automatic).labels == labels)
    }

    @Test(
        "Ticks of bytes, seconds, and binary counts have units",
        arguments: [
            (
                512.0...262_144.0, 10, TickFormat.binary,
                ["512", "1k", "2k", "4k", "8k", "16k", "32k", "64k", "128k", "256k"]
            ),
            (512.0...262_144.0, 5, .binary, ["1k", "4k", "16k", "64k", "256k"]),
            (1000.0...4_194_304.0, 4, .binary, ["4k", "64k", "1M"]),
            (600.0...900.0, 3, .binary, ["600", "700", "800", "900"]),
            (3e7...5e9, 4, .bytes, ["64 MB", "256 MB", "1 GB", "4 GB"]),
            (500.0...5000.0, 4, .bytes, ["512 B", "1 kB", "2 kB", "4 kB"]),
            (3e-6...2e-2, 6, .seconds, ["10 µs", "100 µs", "1 ms", "10 ms"]),
            (2e-5...1.5e-4, 6, .seconds, ["20 µs", "50 µs", "100 µs"]),
        ] as [(ClosedRange<Double>, Int, TickFormat, [String])])
    func ofUnits(domain: ClosedRange<Double>, count: Int, format: TickFormat, labels: [String]) {
        #expect(Ticks(logarithmic: domain, count: count, format: format).labels == labels)
    }

    @Test("Linear axes have units too")
    func linearAxesHaveUnitsToo() {
        #expect(Ticks(linear: 0...2048, count: 2, format: .binary).labels == ["0", "1,000", "1.95k"])
        #expect(Ticks(linear: 0...0.03, count: 3, format: .seconds).labels == ["0", "10 ms", "20 ms", "30 ms"])
    }

    @Test("Quantities are rounded and have units")
    func quantitiesForPeople() {
        let numbers: [(Double, String)] = [
            (0.012345, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (9.996, "10.0"), (99.96, "100"), (999.6, "1,000"),
            (12_345.6, "12,346"), (0, "0"), (-1.2345, "−1.23"), (.nan, "–"), (.infinity, "∞"), (0.0999999, "0.100"),
        ]
        for (value, text) in numbers { #expect(Numbers.significant(value) == text) }
        let times: [(Double, String)] = [
            (8.5e-7, "850 ns"), (1.234e-5, "12.3 µs"), (0.0099996, "10.0 ms"), (0.9999, "1.00 s"), (75, "75.0 s"),
            (0, "0 ns"), (.nan, "–"),
        ]
        for (value, text) in times { #expect(Numbers.seconds(value) == text) }
        let sizes: [(Double, String)] = [
            (512, "512 B"), (12_595, "12.3 kB"), (1_048_576, "1.00 MB"), (3e9, "2.79 GB"), (5e12, "4.55 TB"),
        ]
        for (value, text) in sizes { #expect(Numbers.bytes(value) == text) }
        #expect(
            [511, 512, 1024, 1536, 262_144, 1 << 20].map { Numbers.binary($0) } == [
                "511", "512", "1k", "1.5k", "256k", "1M",
            ])
    }

    @Test("Ranges of any size have few ticks, none outside")
    func roundRangesOfAnySize() {
        // From the least to the greatest ranges that can be drawn: never many ticks, never one outside.
        for exponent in stride(from: -290.0, through: 290, by: 14.3) {
            for (start, width) in [(0, 1.0), (-0.37, 0.9), (1, 1e-6), (-5, 4.99)] {
                let unit = pow10(exponent)
                let domain = start * unit...(start + width) * unit
                let ticks = Ticks(linear: domain, count: 5, format: .automatic)
                #expect((2...6).contains(ticks.values.count), "\(domain)")
                let slack = (domain.upperBound - domain.lowerBound) * 1e-6
                #expect(ticks.values.allSatisfy { $0 >= domain.lowerBound - slack && $0 <= domain.upperBound + slack })
                #expect(Set(ticks.labels).count == ticks.labels.count, "\(ticks.labels)")
            }
        }
    }

    @Test("Numbers have separators and true minus signs")
    func numbersForPeople() {
        #expect(Numbers.text(1_234_567) == "1,234,567")
        #expect(Numbers.text(-1234.5, decimals: 2) == "−1,234.50")
        #expect(Numbers.text(-0.001, decimals: 1) == "0.0")
        #expect(Numbers.text(.nan) == "–" && Numbers.text(-.infinity) == "−∞")
        #expect(Numbers.short(200) == "200" && Numbers.short(1.23456789) == "1.2346")
        #expect(Numbers.short(123456.78) == "123,457" && Numbers.short(3.25e-12) == "3.25e-12")
    }
}

private func pow10(_ exponent: Double) -> Double { Double("1e\(Int(exponent))")! }
