import AttentionZooTokenizers
import Foundation
import Testing

@Suite struct TrainingTests {
    @Test("The most frequent pair is merged first, of several the one with the smallest numbers")
    func mergesAreOrdered() {
        // "ab" occurs four times, "cd" and "ef" twice.
        let tokenizer = BPETrainer(vocabularySize: 259).train(on: "ab ab ab ab cd cd ef ef")
        #expect(tokenizer.vocabularySize == 259)
        #expect((256..<259).map { tokenizer.token(for: $0) } == ["ab", "Ġab", "cd"])
    }
}
