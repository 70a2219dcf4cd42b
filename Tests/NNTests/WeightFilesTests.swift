import Foundation
import NN
import Tensors
import Testing

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
