import Tensors

// A parameter that `collect(into:)` forgets is neither trained nor saved, and nothing else shows it. In debug builds the first
// module of each type is searched for such parameters when its state is asked for. `StateCollector.leaveOut` names those that
// are left out on purpose.

extension Module {
    /// Ends the program where a parameter of this module was not collected, naming it. The first module of each type is
    /// searched.
    func requireCollected(_ collector: StateCollector) {
        guard Searched.isFirst(of: type(of: self)) else { return }
        let collected = collector.leftOut.union(collector.entries.map { ObjectIdentifier($0.parameter) })
        let name = "\(type(of: self))"
        if let path = forgotten(in: self, name, collected) {
            fatalError(
                "\(name).collect(into:): \(path) is not collected, so it would be neither trained nor saved; add it, or leave "
                    + "it out on purpose with state.leaveOut")
        }
    }
}

/// The types of modules that have been searched.
private enum Searched {
    private static let types = Guarded<Set<ObjectIdentifier>>([])

    static func isFirst(of type: any Module.Type) -> Bool {
        types.withLock { $0.insert(ObjectIdentifier(type)).inserted }
    }
}

/// The path of the first parameter in a value that was not collected; nil where all were. Objects other than modules are
/// not looked into: what they hold may belong to others.
private func forgotten(in value: Any, _ path: String, _ collected: Set<ObjectIdentifier>) -> String? {
    if let parameter = value as? Parameter {
        // What is computed anew with each model need not be saved.
        return parameter.kind == .computed || collected.contains(ObjectIdentifier(parameter)) ? nil : path
    }
    if value is Tensor { return nil }
    let mirror = Mirror(reflecting: value)
    if mirror.displayStyle == .class && !(value is any Module) { return nil }
    if mirror.displayStyle == .collection, mirror.children.first?.value is any Numeric { return nil }
    let isOptional = mirror.displayStyle == .optional
    for (index, child) in mirror.children.enumerated() {
        let step = isOptional ? "" : child.label.map { ".\($0)" } ?? "[\(index)]"
        if let found = forgotten(in: child.value, path + step, collected) { return found }
    }
    return nil
}
