import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

/// Two layers that share a matrix, and a buffer: all that a state dict can hold.
struct Tied: Module {
    let first: Linear
    let second: Linear
    let shared: Parameter
    let frequencies: Parameter

    init(seed: UInt64 = 1, width: Int = 3, base: Float = 10_000) {
        let key = RandomKey(seed: seed)
        first = Linear(width, 2, key: key.child(0))
        second = Linear(2, 2, bias: false, key: key.child(1))
        shared = Parameter(.normal([2, 3], key: key.child(2)))
        frequencies = Parameter(Tensor((0..<4).map { pow(base, -Float($0) / 4) }), .computed)
    }

    func collect(into state: inout StateCollector) {
        state.add("layers", [first, second])
        state.add("input.table", shared)
        state.add("output.table", shared)
        state.add("inv_freq", frequencies)
    }

    var values: [[Float]] { state.map(\.parameter.value.values) }
}

/// A folder that goes with the test, and files in it written from a model's state with changes.
final class Files {
    private let temporary: TemporaryFolder
    var folder: String { temporary.path }

    init() throws { temporary = try TemporaryFolder() }

    var path: String { folder + "/weights.safetensors" }

    func write(_ module: some Module, prefix: String = "", changing change: (inout [String: Tensor]) -> Void) throws {
        var tensors = Dictionary(uniqueKeysWithValues: module.state.map { (prefix + $0.key, $0.parameter.value) })
        change(&tensors)
        var writer = SafetensorsWriter()
        for (name, tensor) in tensors { try writer.add(name, tensor) }
        try writer.write(to: path)
    }

    /// The message of loading the file into `module`, which must stay as it was.
    func failure(of module: Tied = Tied(seed: 2)) -> String {
        let before = module.values
        let error = #expect(throws: InputError.self) { try module.load(from: path) }
        #expect(module.values == before)
        return error?.message ?? ""
    }
}
