import Linformers
import NN
import Testing

@Suite struct LinformerConfigurationTests {
    @Test func everyOptionSurvivesItsJSON() throws {
        var configuration = LinformerLMConfiguration(tokens: 7, inputSize: 12, channels: 8)
        configuration.stack.causality = .compatible
        configuration.stack.sharing = .kv
        configuration.embeddingDimension = 6
        let again = try LinformerLMConfiguration(configuration.json, file: "test")
        #expect(again.json == configuration.json)
    }
}
