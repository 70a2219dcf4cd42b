import Testing

/// Each in a process of its own, which must fail with the message.
@Suite struct MistakeTests {
    @Test("A wrong elementwise operation stops with a message", arguments: Mistake.elementwise.indices)
    func elementwise(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            Mistake.elementwise[i].make()
        }
        expect(result, Mistake.elementwise[i])
    }

    @Test("A wrong product stops with a message", arguments: Mistake.products.indices)
    func products(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            Mistake.products[i].make()
        }
        expect(result, Mistake.products[i])
    }

    @Test("A wrong feed-forward block stops with a message", arguments: Mistake.feedForwards.indices)
    func feedForwards(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            Mistake.feedForwards[i].make()
        }
        expect(result, Mistake.feedForwards[i])
    }

    @Test("A wrong use of rounded weights stops with a message", arguments: Mistake.roundedWeights.indices)
    func roundedWeights(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            Mistake.roundedWeights[i].make()
        }
        expect(result, Mistake.roundedWeights[i])
    }

    @Test("A wrong shape stops with a message", arguments: Mistake.shapes.indices)
    func shapes(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            Mistake.shapes[i].make()
        }
        expect(result, Mistake.shapes[i])
    }

    @Test("A wrong use of the core stops with a message", arguments: Mistake.core.indices)
    func core(_ i: Int) async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [i] in
            Mistake.core[i].make()
        }
        expect(result, Mistake.core[i])
    }

    private func expect(_ result: ExitTest.Result?, _ mistake: Mistake) {
        // The rest of standard error is a backtrace.
        let message = result?.message ?? ""
        let line = message.split(separator: "\n").first { $0.contains("Fatal error") } ?? ""
        #expect(message.contains(mistake.message), "\(line)")
    }
}
