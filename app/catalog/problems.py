from app.base.problems import Kind, Problem


class ProductNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "product_not_found"
    title = "The product does not exist."


class ProductCodeTaken(Problem):
    kind = Kind.CONFLICT
    code = "product_code_taken"
    title = "Another product has this code."


class PolicyNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "policy_not_found"
    title = "The policy does not exist."


class CustomerNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "customer_not_found"
    title = "The customer does not exist."


class ExternalIdTaken(Problem):
    kind = Kind.CONFLICT
    code = "external_id_taken"
    title = "Another customer has this external id."


class RequirementImpossible(Problem):
    kind = Kind.INVALID
    code = "requirement_impossible"
    title = "The requirements can never be met."


class PolicyContradiction(Problem):
    kind = Kind.INVALID
    code = "policy_contradiction"
    title = "Some fields of the policy contradict each other."
