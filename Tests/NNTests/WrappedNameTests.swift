import Foundation
import NN
import Tensors
import Testing

/// Names that wrappers have put something before.
@Suite struct WrappedNameTests {
    let files = try! Files()

    @Test(
        "What all names begin with and no key of the model has is taken off",
        arguments: [
            "module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "_orig_mod.module.", "model.module.model.",
            "state_dict.model._orig_mod.", "flash.encoder.",
        ])
    func prefixes(prefix: String) throws {
        let model = Tied(seed: 1)
        try files.write(model, prefix: prefix) { _ in }
        let other = Tied(seed: 2)
        let report = try other.load(from: files.path)
        #expect(other.values == model.values)
        #expect(report.prefix == prefix && report.leftOut == [])
        #expect(report.note == "\(files.path): \"\(prefix)\" taken off all names")
    }

    @Test(
        "A shared parameter may be stored once under wrapped names, named by the metadata or not",
        arguments: [true, false])
    func wrappedOnce(hasMetadata: Bool) throws {
        let model = Tied(seed: 1)
        var writer = SafetensorsWriter(metadata: hasMetadata ? ["module.input.table": "module.output.table"] : [:])
        for (key, parameter) in model.state where key != "input.table" {
            try writer.add("module." + key, parameter.value)
        }
        try writer.write(to: files.path)
        let other = Tied(seed: 2)
        let report = try other.load(from: files.path)
        #expect(other.values == model.values && report.otherNames == ["input.table": "output.table"])
    }

    @Test("A prefix that not all names have stays")
    func notShared() throws {
        try files.write(Tied(seed: 1), prefix: "module.") { $0["extra"] = .zeros([1]) }
        let message = files.failure()
        #expect(message.contains("does not fit the model: 6 missing (layers.0.weight, "))
        #expect(message.contains("7 unused (extra, module.input.table, "))
    }

    @Test("A word that keys of the model begin with stays")
    func ownWord() throws {
        try files.write(Tied(seed: 1), prefix: "layers.") { _ in }
        #expect(files.failure().contains("6 unused (layers.input.table, layers.inv_freq, layers.layers.0.bias"))
    }

    @Test("Names of another model stay as they are, and so do those that end with the prefix")
    func otherModels() throws {
        var writer = SafetensorsWriter()
        try writer.add("bert.embeddings.weight", Tensor.ones([2]))
        try writer.write(to: files.path)
        #expect(files.failure().hasSuffix("1 unused (bert.embeddings.weight)"))
        try files.write(Tied(seed: 1), prefix: "module.") { $0["module."] = .zeros([1]) }
        #expect(files.failure().contains("7 unused (module., "))
    }

    @Test("What does not fit is told without the prefix, and that it was taken off")
    func misfits() throws {
        try files.write(Tied(seed: 1), prefix: "model.module.") {
            $0["model.module.layers.0.weight"] = nil
            $0["model.module.extra"] = .zeros([1])
        }
        #expect(
            files.failure()
                == "\(files.path): does not fit the model (without \"model.module.\"): 1 missing (layers.0.weight); 1 unused"
                + " (extra)")
    }

    @Test(
        "A checkpoint with the weights in it and a training's state beside them is opened",
        arguments: [
            (
                "state_dict.model.", ["epoch", "optimizer_states.0.exp_avg", "loops.fit.step"],
                ["epoch", "loops", "optimizer_states"]
            ),
            ("model.", ["optimizer.state.0", "iter_num"], ["iter_num", "optimizer"]),
            ("model._orig_mod.", ["best_val_loss", "ema.layers.0.weight"], ["best_val_loss", "ema"]),
            ("model_state_dict.module.", ["scheduler.last"], ["scheduler"]),
        ])
    func containers(prefix: String, others: [String], leftOut: [String]) throws {
        let model = Tied(seed: 1)
        try files.write(model, prefix: prefix) { for name in others { $0[name] = .zeros([3]) } }
        let other = Tied(seed: 2)
        let report = try other.load(from: files.path)
        #expect(other.values == model.values)
        #expect(report.prefix == prefix && report.leftOut == leftOut)
        #expect(
            report.note
                == "\(files.path): \"\(prefix)\" taken off all names; left alone: \(leftOut.joined(separator: ", "))")
    }

    @Test("Beside a checkpoint's weights nothing may lie that is not known to be a training's")
    func strangeNeighbor() throws {
        try files.write(Tied(seed: 1), prefix: "state_dict.") { $0["decoder.weight"] = .zeros([3]) }
        #expect(files.failure().contains("7 unused (decoder.weight, state_dict.input.table"))
    }
}
