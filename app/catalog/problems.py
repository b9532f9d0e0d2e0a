from app.base.problems import Kind, Problem


class ProductNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "product_not_found"
    title = "There is no such product."


class ProductCodeTaken(Problem):
    kind = Kind.CONFLICT
    code = "product_code_taken"
    title = "Another product has this code."


class PolicyNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "policy_not_found"
    title = "There is no such policy."


class CustomerNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "customer_not_found"
    title = "There is no such customer."


class ExternalIdTaken(Problem):
    kind = Kind.CONFLICT
    code = "external_id_taken"
    title = "Another record of this kind has this external id."


class RequirementImpossible(Problem):
    kind = Kind.INVALID
    code = "requirement_impossible"
    title = "This requirement can never be met."


class PolicyContradiction(Problem):
    kind = Kind.INVALID
    code = "policy_contradiction"
    title = "These policy fields contradict each other."
