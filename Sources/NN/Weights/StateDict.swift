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
    public func load(_ weights: WeightFiles) throws -> LoadReport { try load(weights, .strict) }

    /// Reads the parameters that a checkpoint has in common with the module, such as all but the head of a model that was
    /// trained on something else.
    ///
    ///     let report = try model.load(from: path, .matching, excluding: "to_logits.*")
    ///     print(report.taken.count, report.missing, report.misshaped, report.unused)
    /// - Parameters:
    ///   - rule: whether whatever does not fit is an error, or stays as it is and is reported.
    ///   - excluded: keys of the module that keep their values, whatever the checkpoint has.
    ///   - renaming: returns the module's key for a name in the checkpoint, wrappers taken off.
    /// - Returns: which keys were taken and which were not.
    /// - Throws: one `InputError` that names the file and all that does not fit by the rule; where nothing at all is taken, too.
    @discardableResult
    public func load(
        from path: String, _ rule: LoadRule, excluding excluded: ParameterSelection = [],
        renaming: (String) -> String = { $0 }
    ) throws -> LoadReport {
        try load(WeightFiles(path: path), rule, excluding: excluded, renaming: renaming)
    }

    /// Reads parameters from an open checkpoint; see `load(from:_:excluding:renaming:)`.
    @discardableResult
    public func load(
        _ weights: WeightFiles, _ rule: LoadRule, excluding excluded: ParameterSelection = [],
        renaming: (String) -> String = { $0 }
    ) throws -> LoadReport {
        var collector = StateCollector()
        collect(into: &collector)
        let keys = Set(collector.entries.map(\.key)).union(collector.aliases.values)
        let wrapped = WrappedNames(weights.names, keys: keys)
        var originals: [String: String] = [:]
        for name in wrapped.names {
            let renamed = renaming(name)
            guard let other = originals.updateValue(name, forKey: renamed) else { continue }
            throw InputError(
                "\(weights.path): \(JSONValue.quoted(other)) and \(JSONValue.quoted(name)) are both renamed to"
                    + " \(JSONValue.quoted(renamed)); expected names of their own")
        }
        let stored = StoredTensors(
            weights, names: Array(originals.keys), prefix: wrapped.prefix, originals: originals)
        let found = try load(collector, stored, rule, excluding: excluded)
        var report = LoadReport(path: weights.path, fileCount: weights.files.count)
        (report.prefix, report.leftOut) = (wrapped.prefix, wrapped.leftOut)
        (report.otherNames, report.taken) = (found.otherNames, found.taken)
        report.missing = found.misfits.missing
        report.misshaped = found.misfits.misshaped + found.misfits.different
        report.unused = found.misfits.unused
        return report
    }

    /// Reads every parameter from an open file whose keys are exactly those of this module.
    /// - Parameter prefix: what stands before the keys; the file's other tensors are then left alone.
    public func load(_ file: SafetensorsFile, prefix: String = "") throws {
        var collector = StateCollector()
        collect(into: &collector)
        let names = file.names.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        _ = try load(collector, StoredTensors(WeightFiles(file), names: names, prefix: prefix), .strict)
    }

    private func load(
        _ collector: StateCollector, _ stored: StoredTensors, _ rule: LoadRule,
        excluding excluded: ParameterSelection = []
    ) throws -> FoundParameters {
        require(roundedFormat == nil, "load: the model's weights are rounded; expected a model of floats")
        let found = try FoundParameters(collector, stored, excluding: excluded)
        var misfits = found.misfits
        if rule == .matching, !found.taken.isEmpty {
            (misfits.missing, misfits.unused, misfits.misshaped, misfits.different) = ([], [], [], [])
        }
        if let problems = misfits.description {
            let note = stored.prefix.isEmpty ? "" : " (without \(JSONValue.quoted(stored.prefix)))"
            let fit = rule == .strict ? "does not fit the model" : "has nothing that fits the model"
            throw InputError("\(stored.path): \(fit)\(note): \(problems)")
        }
        for (parameter, name) in found.fitting where parameter.kind != .computed {
            try stored.copyFloats(of: name, into: parameter.value.mutablePointer)
        }
        return found
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
