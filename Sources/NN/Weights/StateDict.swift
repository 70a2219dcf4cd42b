import Tensors

// A model's parameters and buffers as a safetensors file, under the names of the PyTorch package it agrees with.

extension Module {
    /// Writes every parameter and buffer, F32, atomically; of rounded weights the floats that they stand for.
    ///
    /// A parameter that is shared is written under each of its keys, as in PyTorch's state dicts, so that
    /// `load_state_dict(load_file(path))` reads the file. `safetensors.torch.load_model` insists on one key for each.
    /// - Parameters:
    ///   - metadata: the file's `__metadata__`.
    ///   - sharedOnce: writes a shared parameter under the first of its keys in alphabetical order alone and names it for
    ///     the others in the metadata, as `save_model` does and `load_model` wants it.
    /// - Throws: `InputError` that names the path and the system's reason.
    public func save(to path: String, metadata: [String: String] = [:], sharedOnce: Bool = false) throws {
        var writer = SafetensorsWriter(metadata: metadata)
        if sharedOnce { try writer.addOnce(self) } else { try writer.add(self) }
        try writer.write(to: path)
    }

    /// Reads every parameter from a safetensors file, from the index of several (`model.safetensors.index.json`), or from
    /// a folder that holds either; F16, BF16 and F64 weights are converted.
    ///
    /// Strict: there must be exactly the keys of this module, in their shapes. A shared parameter may have any of
    /// its keys; those that are there must hold equal values. Buffers are not taken from the file, but must agree with what
    /// the module computed (relative 1e-5, or the precision of a narrower type). What wrappers have put before all keys
    /// (`module.`, `_orig_mod.`, `model.` …) is taken off, and what a training saved beside the weights is left alone.
    /// Nothing is changed unless everything fits.
    /// - Returns: what had to be done for the keys to fit.
    /// - Throws: one `InputError` that names the file and all that does not fit, or says what the file is instead.
    @discardableResult
    public func load(from path: String) throws -> LoadReport { try load(WeightFiles(path: path)) }

    /// Reads every parameter from an open checkpoint; see `load(from:)`.
    @discardableResult
    public func load(_ weights: WeightFiles) throws -> LoadReport {
        var collector = StateCollector()
        collect(into: &collector)
        let keys = Set(collector.entries.map(\.key)).union(collector.aliases.values)
        let wrapped = WrappedNames(weights.names, keys: keys)
        var report = LoadReport(path: weights.path, fileCount: weights.files.count)
        (report.prefix, report.leftOut) = (wrapped.prefix, wrapped.leftOut)
        report.otherNames = try load(collector, StoredTensors(weights, names: wrapped.names, prefix: wrapped.prefix))
        return report
    }

    /// Reads every parameter from an open file whose keys are exactly those of this module.
    /// - Parameter prefix: what stands before the keys; the file's other tensors are then left alone.
    public func load(_ file: SafetensorsFile, prefix: String = "") throws {
        var collector = StateCollector()
        collect(into: &collector)
        let names = file.names.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        _ = try load(collector, StoredTensors(WeightFiles(file), names: names, prefix: prefix))
    }

    /// - Returns: the keys whose values have another name, and that name.
    private func load(_ collector: StateCollector, _ stored: StoredTensors) throws -> [String: String] {
        require(roundedFormat == nil, "load: the model's weights are rounded; expected a model of floats")
        let found = try FoundParameters(collector, stored)
        if let problems = found.misfits.description {
            let note = stored.prefix.isEmpty ? "" : " (without \(JSONValue.quoted(stored.prefix)))"
            throw InputError("\(stored.path): does not fit the model\(note): \(problems)")
        }
        for (parameter, name) in found.sources where parameter.kind != .computed {
            try stored.copyFloats(of: name, into: parameter.value.mutablePointer)
        }
        return found.otherNames
    }
}

extension SafetensorsWriter {
    /// Adds every parameter and buffer of a module, F32, under its state-dict key.
    /// - Throws: `InputError` when a name is taken.
    public mutating func add(_ module: some Module) throws {
        for (key, parameter) in module.state { try add(key, parameter.floats()) }
    }

    /// Adds every parameter and buffer once, its other keys in the metadata.
    fileprivate mutating func addOnce(_ module: some Module) throws {
        var kept: [ObjectIdentifier: String] = [:]
        for (key, parameter) in module.state.sorted(by: { $0.key < $1.key }) {
            if let first = kept[ObjectIdentifier(parameter)] {
                if metadata[key] == nil { metadata[key] = first }
            } else {
                kept[ObjectIdentifier(parameter)] = key
                try add(key, parameter.floats())
            }
        }
    }
}
