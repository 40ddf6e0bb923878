"""The rules of the contract. A new rule is a function decorated with ``contract_check`` in one of these modules."""
