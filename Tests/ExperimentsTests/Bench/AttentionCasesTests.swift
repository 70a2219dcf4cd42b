import Testing

@testable import AttentionZooExperiments

/// The cases of `Bench kernels`, at small sizes.
@Suite("Attention in Bench kernels") struct AttentionCasesTests {
    @Test("Each operation agrees with its plain form and with loops")
    func agreement() {
        let cases = [
            AttentionCases.window(300), AttentionCases.window(300, byLoops: true), AttentionCases.memory(16),
            AttentionCases.memory(16, byLoops: true), AttentionCases.mixedChunk(300),
            DeltaRuleCases.forward(100, chunk: 32, decays: true),
            DeltaRuleCases.gradients(100, chunk: 32, decays: true), DeltaRuleCases.forward(100, chunk: 32),
            ShortConvolutionCases.forward(300, channels: 20),
            ShortConvolutionCases.forward(300, channels: 20, byLoops: true),
            ShortConvolutionCases.gradients(300, channels: 20),
        ]
        let segments = [true, false].flatMap { byLoops in
            let sizes = SegmentSizes(h: 2, n: 307)
            return [SegmentCases.forward(sizes, byLoops: byLoops), SegmentCases.gradients(sizes, byLoops: byLoops)]
        }
        for row in (cases + segments).map({ $0.measure(peakGflops: 1, peakGigabytes: 1) }) {
            #expect(row.agrees && row.difference > 0, "\(row.name), \(row.size): \(row.difference)")
        }
        #expect(Set(cases.map { $0.name + $0.size }).count == cases.count, "rows have names of their own")
    }
}
