import ModelZoo

/// The cost of generating one sequence.
struct GenerationTime {
    /// The median time of one token.
    let seconds: Double
    /// The memory of the state after the prompt.
    let stateBytes: Int
}

extension LanguageModel {
    /// Times a token after a prompt: many of them, as a disturbance may last as long as a hundred.
    ///
    /// - Parameters:
    ///   - prompt: is read first, which is not timed.
    ///   - tokens: are appended one by one; the first is not timed.
    ///   - time: tokens are timed for so many seconds, the prompt and all tokens again and again where there are too few.
    ///   - stop: asked between tokens.
    /// - Returns: the median of all; nil where it was stopped.
    func generation(
        after prompt: ArraySlice<Int32>, tokens: ArraySlice<Int32>, for time: Double, stop: () -> Bool
    ) -> GenerationTime? {
        require(tokens.count > 1, "generation: \(tokens.count) tokens, expected one that is not timed and others")
        let begin = now()
        var times: [Double] = []
        var stateBytes: Int?
        repeat {
            guard let read = reading(prompt, stop) else { return nil }
            var states = read.states
            stateBytes = stateBytes ?? read.bytes
            let end = now() + time
            for (index, token) in tokens.enumerated() where index < 2 || now() < end {
                if stop() { return nil }
                let start = now()
                _ = decode([[token]], states: &states)
                if index > 0 { times.append(now() - start) }
            }
        } while now() - begin < time
        return stateBytes.map { GenerationTime(seconds: median(times), stateBytes: $0) }
    }

    /// The states after a prompt, which is read in pieces: as large as make products fast and no larger, so that a long one
    /// takes no memory and can be stopped. And their memory.
    private func reading(_ prompt: ArraySlice<Int32>, _ stop: () -> Bool) -> (states: [DecodingState], bytes: Int)? {
        let held = MemoryPool.shared.statistics.current
        var states = [startDecoding()]
        for start in stride(from: prompt.startIndex, to: prompt.endIndex, by: 4096) {
            if stop() { return nil }
            _ = decode([Array(prompt[start..<min(start + 4096, prompt.endIndex)])], states: &states)
        }
        return (states, MemoryPool.shared.statistics.current - held)
    }
}

/// The middle of several values, or the mean of the two in the middle; NaN of none.
func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return .nan }
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}
