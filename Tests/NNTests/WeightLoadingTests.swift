import Foundation
import NN
import Tensors
import Testing

/// Two matrices of one shape, each under two keys, of which one has an alternative.
private struct Pairs: Module {
    let first = Parameter(.ones([2, 2]))
    let second = Parameter(.zeros([2, 2]))

    func collect(into state: inout StateCollector) {
        state.add("a.one", first)
        state.add("b.one", second, alias: "b.old")
        state.add("b.two", second)
        state.add("a.two", first)
    }
}

/// A shared parameter stored once, as `save_model` stores it.
@Suite struct SharedParameterTests {
    let files = try! Files()

    @Test("A shared parameter is taken from any of its names", arguments: ["input.table", "output.table"])
    func anyName(lost: String) throws {
        let model = Tied(seed: 1)
        try files.write(model) { $0[lost] = nil }
        let other = Tied(seed: 2)
        let report = try other.load(from: files.path)
        #expect(other.values == model.values)
        let kept = lost == "input.table" ? "output.table" : "input.table"
        #expect(report.otherNames == [lost: kept] && report.prefix == "" && report.leftOut == [])
        #expect(
            report.note == "\(files.path): 1 shared parameter taken from another name (\(lost) from \(kept))")
    }

    @Test("Without any of its names a shared parameter is missing under all of them")
    func noName() throws {
        try files.write(Tied(seed: 1)) { ($0["input.table"], $0["output.table"]) = (nil, nil) }
        #expect(files.failure().hasSuffix("does not fit the model: 2 missing (input.table, output.table)"))
    }

    @Test("The metadata say which tensor stands for a name, also of parameters that the model does not share")
    func metadata() throws {
        var writer = SafetensorsWriter(metadata: ["a.one": "b.two", "b.one": "b.two", "a.two": "b.two", "format": "pt"])
        try writer.add("b.two", Tensor([1, 2, 3, 4]).reshaped([2, 2]))
        try writer.write(to: files.path)
        let model = Pairs()
        let report = try model.load(from: files.path)
        #expect(model.first.value.values == [1, 2, 3, 4] && model.second.value.values == [1, 2, 3, 4])
        #expect(report.otherNames == ["a.one": "b.two", "b.one": "b.two", "a.two": "b.two"])
        #expect(report.note?.contains("3 shared parameters taken from another name (a.one from b.two, …)") == true)
    }

    @Test("Metadata that name what is not there are no help")
    func metadataWithoutTensor() throws {
        var writer = SafetensorsWriter(metadata: ["a.one": "c.one", "a.two": "a.one", "c.one": "b.two"])
        try writer.add("b.two", Tensor.ones([2, 2]))
        try writer.write(to: files.path)
        let error = #expect(throws: InputError.self) { try Pairs().load(from: files.path) }
        #expect(error?.message == "\(files.path): does not fit the model: 2 missing (a.one, a.two)")
    }

    @Test("An alternative key is another name as well, and none that is reported where it is the key's own")
    func alternativeKey() throws {
        var writer = SafetensorsWriter()
        try writer.add("b.old", Tensor([1, 2, 3, 4]).reshaped([2, 2]))
        try writer.add("a.two", Tensor.ones([2, 2]))
        try writer.write(to: files.path)
        let model = Pairs()
        let report = try model.load(from: files.path)
        #expect(model.second.value.values == [1, 2, 3, 4])
        #expect(report.otherNames == ["b.two": "b.old", "a.one": "a.two"])
    }

    @Test("Several names of a shared parameter must hold equal values, of whatever type")
    func unequal() throws {
        try files.write(Tied(seed: 1)) { $0["output.table"] = $0["output.table"]! + 1 }
        #expect(files.failure().hasSuffix("1 shared parameter with unequal values (input.table and output.table)"))
        // NaN equals itself, bit for bit.
        let broken = Tied(seed: 1)
        broken.shared.assign(Tensor(repeating: .nan, shape: [2, 3]))
        try broken.save(to: files.path)
        #expect(try Tied(seed: 2).load(from: files.path).note == nil)
        // Equal values as F64.
        let table = broken.shared.shape
        var writer = SafetensorsWriter()
        for (key, parameter) in Tied(seed: 1).state where key != "output.table" { try writer.add(key, parameter.value) }
        let doubles = Tied(seed: 1).shared.value.values.map(Double.init)
        try writer.add("output.table", dtype: .float64, shape: table) { output in
            try doubles.withUnsafeBytes { try output($0) }
        }
        try writer.write(to: files.path)
        let other = Tied(seed: 2)
        try other.load(from: files.path)
        #expect(other.values == Tied(seed: 1).values)
    }

    @Test("A tensor of a wrong shape is reported once, whatever number of names it is for")
    func misshaped() throws {
        try files.write(Tied(seed: 1)) { ($0["input.table"], $0["output.table"]) = (nil, .zeros([3, 3])) }
        #expect(
            files.failure().hasSuffix(
                "does not fit the model: 1 of another shape or type (output.table is F32 [3, 3], expected F32 [2, 3])"))
    }

    @Test("What is saved with each shared parameter once loads to the same bits, and names the other keys")
    func savedOnce() throws {
        let model = Tied(seed: 1)
        try model.save(to: files.path, metadata: ["model": "tied"], sharedOnce: true)
        let file = try SafetensorsFile(path: files.path)
        #expect(
            file.names.sorted() == ["input.table", "inv_freq", "layers.0.bias", "layers.0.weight", "layers.1.weight"])
        #expect(file.metadata == ["model": "tied", "output.table": "input.table"])
        let other = Tied(seed: 2)
        try other.load(from: files.path)
        #expect(other.values == model.values)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: files.path))
        try model.save(to: files.path, metadata: ["model": "tied"], sharedOnce: true)
        #expect(try Data(contentsOf: URL(fileURLWithPath: files.path)) == bytes)
    }
}

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

/// Weights in several files.
@Suite struct WeightFilesTests {
    let files = try! Files()

    /// Writes the tensors whose keys are given to each file, and an index unless it is not wanted.
    private func writeShards(
        _ model: Tied, _ shards: [(String, [String])], index: String? = "model.safetensors.index.json",
        prefix: String = ""
    ) throws {
        var map: [String: JSONValue] = [:]
        let state = Dictionary(uniqueKeysWithValues: model.state.map { ($0.key, $0.parameter.value) })
        for (name, keys) in shards {
            var writer = SafetensorsWriter(metadata: ["format": "pt"])
            for key in keys {
                try writer.add(prefix + key, state[key]!)
                map[prefix + key] = .string(name)
            }
            try writer.write(to: files.folder + "/" + name)
        }
        if let index { try writeIndex(map, name: index) }
    }

    private func writeIndex(_ map: [String: JSONValue], name: String = "model.safetensors.index.json") throws {
        let document = JSONValue.object(["metadata": .object(["total_size": .integer(1)]), "weight_map": .object(map)])
        try AtomicFile.write(Data(document.description.utf8), to: files.folder + "/" + name)
    }

    private let first = "model-00001-of-00002.safetensors", second = "model-00002-of-00002.safetensors"
    private var halves: [(String, [String])] {
        [
            (first, ["layers.0.weight", "layers.0.bias", "input.table"]),
            (second, ["layers.1.weight", "inv_freq", "output.table"]),
        ]
    }

    private func message(_ path: String, _ module: Tied = Tied(seed: 2)) -> String? {
        let before = module.values
        let error = #expect(throws: InputError.self) { try module.load(from: path) }
        #expect(module.values == before)
        return error?.message.replacingOccurrences(of: files.folder, with: "FOLDER")
    }

    @Test("An index, or the folder that holds it, loads what its files hold")
    func indexAndFolder() throws {
        let model = Tied(seed: 1)
        try writeShards(model, halves)
        let index = files.folder + "/model.safetensors.index.json"
        for path in [index, files.folder, files.folder + "/"] {
            let other = Tied(seed: 2)
            let report = try other.load(from: path)
            #expect(other.values == model.values)
            #expect(report.fileCount == 2 && report.note == "\(path): read from 2 files")
        }
        let weights = try WeightFiles(path: index)
        #expect(weights.names.count == 6 && weights.metadata == ["format": "pt"])
        #expect(weights.entry("inv_freq")?.shape == [4] && weights.entry("none") == nil)
    }

    @Test("Files of a whole set do without an index, and their names may be wrapped and shared ones stored once")
    func setWithoutIndex() throws {
        let model = Tied(seed: 1)
        let shards = [
            (first, ["layers.0.weight", "input.table"]), (second, ["layers.0.bias", "layers.1.weight", "inv_freq"]),
        ]
        try writeShards(model, shards, index: nil, prefix: "module.")
        let other = Tied(seed: 2)
        let report = try other.load(from: files.folder)
        #expect(other.values == model.values)
        #expect(
            report.note
                == "\(files.folder): read from 2 files; \"module.\" taken off all names; 1 shared parameter taken"
                + " from another name (output.table from input.table)")
    }

    @Test(
        "Of a folder with a whole file that file is read",
        arguments: ["model.safetensors", "weights.safetensors", "x.safetensors"])
    func singleFile(name: String) throws {
        let model = Tied(seed: 1)
        try model.save(to: files.folder + "/" + name)
        if name != "x.safetensors" { try Tied(seed: 3).save(to: files.folder + "/state.safetensors") }
        let other = Tied(seed: 2)
        #expect(try other.load(from: files.folder).note == nil)
        #expect(other.values == model.values)
    }

    @Test("An index that names an absent file or tensor is refused")
    func absentParts() throws {
        try writeShards(Tied(seed: 1), halves)
        try FileManager.default.removeItem(atPath: files.folder + "/" + second)
        let index = files.folder + "/model.safetensors.index.json"
        #expect(
            message(index)
                == "FOLDER/model.safetensors.index.json: names \"\(second)\", which is missing; expected it beside the index"
        )
        try writeShards(Tied(seed: 1), halves)
        try writeIndex(["layers.0.weight": .string(first), "other": .string(second)])
        #expect(
            message(files.folder) == "FOLDER/model.safetensors.index.json: \"weight_map\": says that \"other\" is in"
                + " \(second), which does not hold it")
    }

    @Test("A key that two files hold is refused")
    func overlap() throws {
        var shards = halves
        shards[1].1.append("layers.0.bias")
        try writeShards(Tied(seed: 1), shards)
        #expect(
            message(files.folder)
                == "FOLDER: tensor \"layers.0.bias\" stands in both \(first) and \(second); expected it in one file")
    }

    @Test(
        "A malformed index is refused",
        arguments: [
            ("{}", "is no index of weights: \"weight_map\" is missing"), ("[1]", "is no index of weights"),
            ("{\"weight_map\": {}}", "\"weight_map\": is empty; expected tensors"),
            (
                "{\"weight_map\": {\"a\": \"../a.safetensors\"}}",
                "\"weight_map\": \"a\": expected the name of a file beside the index, found the string \"../a.safetensors\""
            ),
            ("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "\"weight_map\": \"a\": expected the name of a file"),
            ("{\"weight_map\": {\"a\": \"..\"}}", "\"weight_map\": \"a\": expected the name of a file"),
            (
                "{\"weight_map\": {\"a\": 1}}",
                "\"weight_map\": \"a\": expected the name of a file beside the index, found 1"
            ),
            ("{\"weight_map\"", "line 1, column 14: not valid JSON"),
        ])
    func badIndexes(text: String, expected: String) throws {
        let path = files.folder + "/x.safetensors.index.json"
        try AtomicFile.write(Data(text.utf8), to: path)
        for opened in [path, files.folder] {
            let found = try #require(message(opened))
            #expect(found.hasPrefix("FOLDER/x.safetensors.index.json") && found.contains(expected), "\(found)")
        }
    }

    @Test("Folders that hold no weights, several, or a part of a set are refused")
    func badFolders() throws {
        #expect(
            message(files.folder)
                == "FOLDER: is a folder without safetensors files; expected weights, or a file as the path")
        for name in ["a.safetensors", "b.safetensors"] { try Tied(seed: 1).save(to: files.folder + "/" + name) }
        #expect(
            message(files.folder)
                == "FOLDER: holds 2 safetensors files, a.safetensors, b.safetensors…, and no index of them;"
                + " expected a file as the path")
        for name in ["a.safetensors", "b.safetensors"] { unlink(files.folder + "/" + name) }
        for number in [1, 3] { try Tied(seed: 1).save(to: files.folder + "/m-0000\(number)-of-00003.safetensors") }
        #expect(message(files.folder) == "FOLDER: holds 2 files of 3; number 2 is missing")
        for name in ["a", "b"] { try writeIndex(["x": .string("y")], name: name + ".safetensors.index.json") }
        #expect(
            message(files.folder)
                == "FOLDER: holds a.safetensors.index.json and b.safetensors.index.json; expected one of them"
                + " as the path")
    }

    @Test("A damaged or foreign file of a set is named")
    func damagedShard() throws {
        try writeShards(Tied(seed: 1), halves)
        try AtomicFile.write(Data("version https://git-lfs.github.com/spec/v1\n".utf8), to: files.folder + "/" + second)
        #expect(message(files.folder)?.hasPrefix("FOLDER/\(second): is a Git LFS pointer") == true)
    }
}
