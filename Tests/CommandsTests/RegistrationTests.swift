import AttentionZooCommands
import AttentionZooTestSupport
import Foundation
import ModelZoo
import Testing

/// An architecture as a program outside the package would write it: a transformer under a name of its own.
private struct OwnArchitecture: Architecture {
    let id = "own"
    let presetNames = ["tiny"]

    func preset(_ name: String, objective: ObjectiveKind?) throws -> Preset<TransformerConfiguration> {
        guard name == "tiny" else { throw InputError("unknown preset \"\(name)\" (known: tiny)") }
        let training = TrainingDefaults(sequenceLength: 16, batchSize: 2, length: .steps(2), learningRate: 1e-3)
        return Preset(configuration: configuration(ModelSize(width: 16, sequenceLength: 16)), training: training)
    }

    func configuration(_ size: ModelSize) -> TransformerConfiguration {
        TransformerConfiguration(tokens: size.vocabulary, dimension: size.width, depth: 1)
    }

    func makeModel(_ configuration: TransformerConfiguration, key: RandomKey) -> any LanguageModel {
        Transformer(configuration, key: key)
    }
}

/// Each in a process of its own, as the zoo belongs to the process.
@Suite("Architectures that a program registers") struct RegistrationTests {
    @Test("The commands train, resume and generate it by its id")
    func commands() async {
        await #expect(processExitsWith: .success) {
            Zoo.register(OwnArchitecture())
            let folder = try TemporaryFolder()
            let text = try folder.write(String(repeating: "a river runs to the sea. ", count: 60), "text.txt")
            let run = folder.path + "/run"
            for words in [
                ["--model", "own", "--preset", "tiny", "--data", text, "--out", run, "--sample-every", "0"],
                ["--resume", run, "--steps", "3", "--sample-every", "0"],
            ] {
                let train = try Train.parse(words + ["--quiet"])
                try train.run()
            }
            let opened = try RunFolder(path: run).configuration()
            require(opened.origin.model == "own", "the run is of \(opened.origin.model)")
            let generate = try Generate.parse(["--run", run, "--prompt", "a river", "--length", "4"])
            try generate.run()
            require(Zoo.identifiers.last == "own" && Zoo.identifiers.count == 7, "\(Zoo.identifiers)")
        }
    }

    @Test("An id that is taken ends the program, with its name")
    func takenIdentifier() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            Zoo.register(FLASHArchitecture())
        }
        let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains("\"flash\""), "\(said)")
    }
}
