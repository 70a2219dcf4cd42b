import Foundation

@testable import ModelZoo

/// Promises about memory, each to be checked in a process of its own, as the memory of tensors is everybody's.
extension ContractModel {
    // MARK: The size of a state

    /// True where the slots of all segments are kept.
    private var keepsAllSlots: Bool {
        guard id == "linformer", let model = try? make() as? LinformerLM else { return false }
        let stack = model.configuration.stack
        return stack.causality == .segments && stack.segments.slots > 0 && stack.segments.maximum == nil
    }

    /// A text with half of which a bounded state is full.
    private var longText: Int {
        guard id == "linformer", let model = try? make() as? LinformerLM else { return 500 }
        let segments = model.configuration.stack.segments
        guard model.configuration.stack.causality == .segments, let most = segments.maximum else { return 500 }
        return max(500, 2 * ((most + 2) * segments.length + segments.window))
    }

    /// Ends the process if a decoding state grows with the text, or, where all of it is kept, if it does not.
    func requireBoundedState() throws {
        let (half, whole) = try bytesHeld(by: make())
        if attendsToAll || keepsAllSlots {
            require(whole > half, "the cache holds \(half) bytes, then \(whole)")
        } else {
            require(whole == half, "\(testDescription): \(half) bytes, then \(whole)")
        }
    }

    /// Returns the bytes of tensors after half of the longest text that is decoded, and after all of it.
    private func bytesHeld<Model: LanguageModel>(by model: Model) -> (half: Int, whole: Int) {
        let most = model.maximumDecodingLength ?? longText
        var states = [model.startDecoding()]
        func read(_ count: Int) -> Int {
            _ = model.decode([tokens(count)], states: &states)
            return MemoryPool.shared.statistics.current
        }
        return (read(most / 2), read(most - most / 2))
    }

    // MARK: Logits

    /// Ends the process if a loss and its gradients store [tokens, vocabulary].
    ///
    /// Logits are made a panel of up to 2²⁴ at a time, here half of all. A small vocabulary takes the same activations, and
    /// all that is as large as the large vocabulary takes little, so the difference is one panel.
    func requireNoStoredLogits() throws {
        let (small, large) = (Self.size.vocabulary, 1 << 14)
        let rows = 2 * (1 << 24) / large / Self.size.sequenceLength
        let logits = rows * Self.size.sequenceLength * large * MemoryLayout<Float>.size
        let added = try lossPeak(vocabulary: large, rows: rows) - lossPeak(vocabulary: small, rows: rows)
        require(added < logits * 3 / 4, "\(testDescription): \(added) bytes more for \(logits) bytes of logits")
    }

    /// Returns the most bytes that the loss of some rows and its gradients hold at once beyond what is there before.
    private func lossPeak(vocabulary: Int, rows: Int) throws -> Int {
        let model = try make(vocabulary: vocabulary, moved: false)
        let tokens = tokens(rows, by: Self.size.sequenceLength)
        let before = MemoryPool.shared.statistics.current
        MemoryPool.shared.resetPeak()
        _ = Tensors.gradients(of: model.loss(tokens, tokens))
        return MemoryPool.shared.statistics.peak - before
    }
}
