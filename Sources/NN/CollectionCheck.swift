import Tensors

// A parameter that `collect(into:)` forgets is neither trained nor saved, and nothing else shows it. In debug builds the first
// module of each type is searched for such parameters when its state is asked for. `StateCollector.leaveOut` names those that
// are left out on purpose.

extension Module {
    /// The paths of the parameters that `collect(into:)` forgets, such as `Classifier.layers[0].bias`: they would be neither
    /// trained nor saved. Empty is as it should be. What `StateCollector.leaveOut` names is no mistake, and objects other than
    /// modules are not looked into: what they hold may belong to others.
    ///
    ///     #expect(model.uncollectedParameters == [])
    public var uncollectedParameters: [String] {
        var collector = StateCollector()
        collect(into: &collector)
        return uncollectedParameters(collector)
    }

    /// Ends the program where a parameter of this module was not collected, naming it. The first module of each type is
    /// searched.
    func requireCollected(_ collector: StateCollector) {
        guard Searched.isFirst(of: type(of: self)) else { return }
        if let path = uncollectedParameters(collector).first {
            fatalError(
                "\(type(of: self)).collect(into:): \(path) is not collected, so it would be neither trained nor saved; add it, "
                    + "or leave it out on purpose with state.leaveOut")
        }
    }

    private func uncollectedParameters(_ collector: StateCollector) -> [String] {
        let collected = collector.leftOut.union(collector.entries.map { ObjectIdentifier($0.parameter) })
        return forgotten(in: self, "\(type(of: self))", collected)
    }
}

/// The types of modules that have been searched.
private enum Searched {
    private static let types = Guarded<Set<ObjectIdentifier>>([])

    static func isFirst(of type: any Module.Type) -> Bool {
        types.withLock { $0.insert(ObjectIdentifier(type)).inserted }
    }
}

/// The paths of the parameters in a value that were not collected, in order.
private func forgotten(in value: Any, _ path: String, _ collected: Set<ObjectIdentifier>) -> [String] {
    if let parameter = value as? Parameter {
        // What is computed anew with each model need not be saved.
        return parameter.kind == .computed || collected.contains(ObjectIdentifier(parameter)) ? [] : [path]
    }
    if value is Tensor { return [] }
    let mirror = Mirror(reflecting: value)
    if mirror.displayStyle == .class && !(value is any Module) { return [] }
    if mirror.displayStyle == .collection, mirror.children.first?.value is any Numeric { return [] }
    let isOptional = mirror.displayStyle == .optional
    return mirror.children.enumerated().flatMap { index, child in
        let step = isOptional ? "" : child.label.map { ".\($0)" } ?? "[\(index)]"
        return forgotten(in: child.value, path + step, collected)
    }
}
