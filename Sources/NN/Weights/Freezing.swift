import Tensors

// Training of some parameters alone. A frozen parameter is no leaf of the graph: nothing is recorded where only frozen
// parameters and inputs come together, so backward stops there, and neither gradients nor moments of it exist.

extension Module {
    /// Freezes the parameters that are selected; those that were frozen before stay so. They are saved and loaded as ever. An
    /// optimizer that exists already remembers them: make it afterwards.
    /// - Returns: the keys that match, in order; a shared parameter is frozen where one of its keys is selected.
    /// - Throws: `InputError` that names a pattern which matches no parameter that could be trained; nothing is changed then.
    @discardableResult
    public func freeze(matching selection: ParameterSelection) throws -> [String] {
        let chosen = try trainedKind(matching: selection)
        for (_, parameter) in chosen { parameter.freeze() }
        return chosen.map(\.key)
    }

    /// Freezes everything but the parameters that are selected, which are trained again where they were frozen.
    /// - Returns: the keys that are trained, in order; a shared parameter is trained where one of its keys is selected.
    /// - Throws: `InputError` that names a pattern which matches no parameter that could be trained; nothing is changed then.
    @discardableResult
    public func freeze(allBut selection: ParameterSelection) throws -> [String] {
        let chosen = try trainedKind(matching: selection)
        for (_, parameter) in state { parameter.freeze() }
        for (_, parameter) in chosen { parameter.unfreeze() }
        return chosen.map(\.key)
    }

    /// Makes all frozen parameters trainable again.
    public func unfreeze() { for (_, parameter) in state { parameter.unfreeze() } }

    /// The keys of the parameters that are frozen, in order.
    public var frozenKeys: [String] { state.filter { $0.parameter.isFrozen }.map(\.key) }

    /// The parameters that weight decay is usually kept from: embedding tables, and whatever has no two axes longer than 1,
    /// which norms and biases have not.
    public var withoutDecay: ParameterSelection { parameters(of: Set(ParameterRole.allCases)) }

    /// The parameters of some roles.
    public func parameters(of roles: Set<ParameterRole>) -> ParameterSelection {
        var collector = StateCollector()
        collect(into: &collector)
        return ParameterSelection(
            collector.entries.filter { key, parameter in
                ParameterRole(key, parameter, isTable: collector.tables.contains(ObjectIdentifier(parameter)))
                    .map(roles.contains) ?? false
            }.map(\.key))
    }

    /// The parameters of the trained kind, frozen or not, whose keys are selected.
    private func trainedKind(matching selection: ParameterSelection) throws -> [(key: String, parameter: Parameter)] {
        let candidates = state.filter { $0.parameter.kind == .trained }
        for pattern in selection.patterns
        where !candidates.contains(where: { ParameterSelection([pattern]).contains($0.key) }) {
            let keys = candidates.map(\.key)
            let example = nearest(pattern, in: keys) ?? keys.first ?? "none, as the model has no parameters"
            throw InputError(
                "\(JSONValue.quoted(pattern)): expected a pattern that matches parameters of the model, such as "
                    + JSONValue.quoted(example))
        }
        return candidates.filter { selection.contains($0.key) }
    }
}
