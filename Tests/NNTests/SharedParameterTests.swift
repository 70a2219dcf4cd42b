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
