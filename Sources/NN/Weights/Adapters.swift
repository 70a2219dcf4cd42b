import Foundation
import Tensors

// Low-rank adaptation (LoRA, 2106.09685) of chosen linear layers: their matrices become W + (α / r) B A with W frozen. The keys
// and files are those of PEFT, so that adapters move both ways.

/// The state-dict keys of an adapter.
struct AdapterKeys {
    let layer: String
    /// A's key: [rank, inputs].
    var down: String { layer + ".lora_A.weight" }
    /// B's key: [outputs, rank].
    var up: String { layer + ".lora_B.weight" }

    /// - Parameter key: that of the matrix.
    init(of key: String) { layer = key.hasSuffix(".weight") ? String(key.dropLast(7)) : key }
}

extension Module {
    /// Freezes the model and gives the chosen linear layers adapters, which are trained instead. B is 0 at first, so nothing
    /// changes yet. From then on the state has A and B beside each matrix: a run saves them, and resumes in a model that has
    /// been given adapters in the same way.
    ///
    /// Load the model's weights before. A forward pass makes W + (α / r) B A once for each layer: cheap for batches, but
    /// `mergeAdapters()` before generating token by token.
    /// - Parameters:
    ///   - selection: matrices by their keys, or by the layers' (without `.weight`), such as `*.to_q`.
    ///   - rank: r.
    ///   - alpha: α.
    ///   - key: draws A, uniform within 1 / √inputs, as PEFT does.
    /// - Returns: the keys of the matrices, in order.
    /// - Throws: `InputError` that names a pattern which matches no matrix of a linear layer; nothing is changed then.
    @discardableResult
    public func addAdapters(
        matching selection: ParameterSelection, rank: Int = 8, alpha: Double = 16, key: RandomKey
    ) throws -> [String] {
        require(rank > 0, "addAdapters: rank \(rank), expected at least 1")
        let chosen = try adaptable(matching: selection)
        freezeAll()
        for (index, entry) in chosen.enumerated() {
            let (rows, columns) = (entry.parameter.shape[0], entry.parameter.shape[1])
            let bound = 1 / Float(columns).squareRoot()
            entry.parameter.adapt(
                LowRankAdapter(
                    down: .uniform([rank, columns], low: -bound, high: bound, key: key.child(index)),
                    up: .zeros([rows, rank]), scale: Float(alpha / Double(rank))))
        }
        return chosen.map(\.key)
    }

    /// Adds each adapter's change to its matrix and removes the adapter. The model computes what it computed before and is
    /// saved like any other; its parameters stay frozen until `unfreeze()`.
    public func mergeAdapters() {
        for (_, parameter) in state {
            guard let adapter = parameter.adapter else { continue }
            parameter.assign(withoutGradients { adapter.added(to: parameter.value) })
            parameter.adapt(nil)
        }
    }

    // MARK: Files

    /// Writes the adapters alone, as PEFT does: `adapter_model.safetensors` and `adapter_config.json`.
    /// - Parameter folder: made where it is not there.
    /// - Throws: `InputError` that names the path and the system's reason.
    public func saveAdapters(to folder: String) throws {
        let adapted = state.compactMap { key, parameter in parameter.adapter.map { (AdapterKeys(of: key), $0) } }
        guard let first = adapted.first?.1 else {
            throw InputError("\(folder): expected a model with adapters, found none")
        }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw InputError("\(folder): cannot be made: \(error.localizedDescription)")
        }
        var writer = SafetensorsWriter(metadata: ["format": "pt"])
        for (keys, adapter) in adapted {
            try writer.add(peftPrefix + keys.down, adapter.down.value)
            try writer.add(peftPrefix + keys.up, adapter.up.value)
        }
        try writer.write(to: folder + "/adapter_model.safetensors")
        let rank = first.down.shape[0]
        let configuration = JSONValue.object([
            "peft_type": .string("LORA"), "r": .integer(rank),
            "lora_alpha": .number(Double(first.scale) * Double(rank)), "lora_dropout": .number(0),
            "bias": .string("none"), "fan_in_fan_out": .bool(false), "inference_mode": .bool(true),
            "base_model_name_or_path": .null, "task_type": .null,
            "target_modules": .array(adapted.map { .string($0.0.layer) }),
        ])
        try AtomicFile.write(Data((configuration.description + "\n").utf8), to: folder + "/adapter_config.json")
    }

    /// Freezes the model and gives it the adapters of a folder that `saveAdapters` or PEFT has written.
    /// - Throws: `InputError` that names the file and what does not fit; nothing is changed then.
    public func loadAdapters(from folder: String) throws {
        let configurationPath = folder + "/adapter_config.json"
        let (rank, alpha) = try adapterScale(configurationPath)
        let file = try SafetensorsFile(path: folder + "/adapter_model.safetensors")
        var unused = Set(file.names)
        var found: [(Parameter, LowRankAdapter)] = []
        for (key, parameter) in linearMatrices {
            let keys = AdapterKeys(of: key)
            let names = [keys.down, keys.up].map { peftPrefix + $0 }
            guard names.contains(where: file.names.contains) else { continue }
            let shapes = [[rank, parameter.shape[1]], [parameter.shape[0], rank]]
            for (name, shape) in zip(names, shapes) {
                let entry = try file.entry(name)
                guard entry.shape == shape else {
                    throw InputError("\(file.path): \(JSONValue.quoted(name)): expected \(shape), found \(entry.shape)")
                }
                unused.remove(name)
            }
            found.append(
                (
                    parameter,
                    LowRankAdapter(
                        down: try file.tensor(names[0]), up: try file.tensor(names[1]),
                        scale: Float(alpha / Double(rank)))
                ))
        }
        guard let unknown = unused.min() else {
            freezeAll()
            for (parameter, adapter) in found { parameter.adapt(adapter) }
            return
        }
        throw InputError(
            "\(file.path): \(JSONValue.quoted(unknown)): expected adapters of the model's linear layers alone")
    }

    /// The rank and α of PEFT's configuration.
    private func adapterScale(_ path: String) throws -> (rank: Int, alpha: Double) {
        let file = try MappedFile(path: path)
        let json = try file.withUnsafeBytes { try JSONValue(parsing: Array($0), file: path) }
        guard case .object(let members) = json else { throw InputError("\(path): expected an object") }
        guard let rank = members["r"]?.intValue, rank > 0 else {
            throw InputError("\(path): r: expected a whole number above 0")
        }
        guard let alpha = members["lora_alpha"]?.doubleValue, alpha > 0 else {
            throw InputError("\(path): lora_alpha: expected a number above 0")
        }
        return (rank, alpha)
    }

    // MARK: Choosing

    /// The matrices of linear layers: those that layers multiply by, and that are no tables. A shared one comes once.
    private var linearMatrices: [(key: String, parameter: Parameter)] {
        var collector = StateCollector()
        collect(into: &collector)
        var seen = collector.tables
        return collector.entries.filter { _, parameter in
            parameter.kind == .trained && parameter.canBeRounded
                && seen.insert(ObjectIdentifier(parameter)).inserted
        }
    }

    private func adaptable(matching selection: ParameterSelection) throws -> [(key: String, parameter: Parameter)] {
        func isChosen(_ key: String, _ selection: ParameterSelection) -> Bool {
            selection.contains(key) || selection.contains(AdapterKeys(of: key).layer)
        }
        let matrices = linearMatrices
        for pattern in selection.patterns where !matrices.contains(where: { isChosen($0.key, [pattern]) }) {
            let layers = matrices.map { AdapterKeys(of: $0.key).layer }
            let example = nearest(pattern, in: layers) ?? layers.first ?? "none, as the model has no linear layers"
            throw InputError(
                "\(JSONValue.quoted(pattern)): expected a pattern that matches linear layers of the model, such as "
                    + JSONValue.quoted(example))
        }
        return matrices.filter { isChosen($0.key, selection) }
    }

    private func freezeAll() { for (_, parameter) in state { parameter.freeze() } }
}

/// The first part of all of PEFT's keys.
private let peftPrefix = "base_model.model."
